/**
 * The three deaths of a plugin: it is stopped, it crashes, its host is killed. Whatever it has started is gone then,
 * however that tries to stay; and so are the control groups and the watchdog. `npm run soak` has each happen fifty times.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { UseControlGroups } from "../../src/process/ControlGroup.ts"
import { PluginProcess } from "../../src/process/PluginProcess.ts"
import { haveControlGroups, hostOf, nothingIsLeft, PATIENCE, specOf, withToken } from "../support/descendants.ts"
import { eventually, noPython } from "../support/host.ts"
import { rounds } from "../support/soak.ts"

const ROUNDS = rounds(2, 50)

/** What a plugin starts: `test/fixtures/descendants.py`. */
const KINDS = [
  "child",
  "session",
  "group",
  "daemon",
  "respawning",
  "hopping",
  "ignoring",
  "stopped",
  "cleared",
  "cleared-group",
  "cleared-session",
  "cleared-daemon",
]

/**
 * Without control groups: whoever has cleared its environment is known by its parent while that lives, or its group. The
 * rest is found by nobody.
 */
const OUT_OF_REACH: { readonly [death: string]: ReadonlyArray<string> } = {
  stopped: ["cleared-daemon"],
  crashed: ["cleared-daemon", "cleared-session", "cleared-group"],
  "host killed": ["cleared-daemon", "cleared-session", "cleared-group"],
}

type Died = Effect.Effect<{ readonly pid: number }, unknown>

/** Starts a process of each kind, at once, and waits for it to have started its own; then `end` may end it. */
const inThisHost = (
  kinds: ReadonlyArray<string>,
  token: string,
  end: (pid: number, exit: Effect.Effect<unknown>) => Effect.Effect<unknown>,
): Died =>
  Effect.forEach(
    kinds,
    Effect.fnUntraced(function* (kind) {
      const scope = yield* Scope.make()
      yield* Effect.addFinalizer((exit) => Scope.close(scope, exit))
      let [stdout, stderr] = ["", ""]
      const { exit, pid } = yield* (yield* PluginProcess)
        .spawn(specOf(kind, token), {
          stdout: (chunk) => (stdout += String(chunk)),
          stderr: (chunk) => (stderr += String(chunk)),
        })
        .pipe(Scope.provide(scope))
      yield* eventually(`${kind} is ready`, () => stdout.includes("ready"), PATIENCE)
      assert.strictEqual(stderr, "")
      yield* end(pid, exit)
      yield* Scope.close(scope, Exit.void)
    }),
    { concurrency: "unbounded", discard: true },
  ).pipe(Effect.scoped, Effect.provide(PluginProcess.layer), Effect.as(process))

const deaths: { readonly [death: string]: (kinds: ReadonlyArray<string>, token: string) => Died } = {
  stopped: (kinds, token) => inThisHost(kinds, token, () => Effect.void),
  crashed: (kinds, token) =>
    inThisHost(kinds, token, (pid, exit) =>
      Effect.andThen(
        Effect.sync(() => process.kill(pid, "SIGSEGV")),
        exit,
      ),
    ),
  "host killed": (kinds, token) =>
    Effect.scoped(
      Effect.gen(function* () {
        const { kill, pid } = yield* hostOf(kinds, token, { controlGroups: yield* UseControlGroups })
        yield* kill("SIGKILL")
        return { pid }
      }),
    ),
}

describe.skipIf(process.platform !== "linux" || noPython)("nothing is left of a plugin", () => {
  for (const [death, die] of Object.entries(deaths)) {
    for (const controlGroups of [true, false]) {
      it.live(
        `${death}, ${controlGroups ? "with" : "without"} control groups, ${ROUNDS} times`,
        () =>
          Effect.gen(function* () {
            const isContained = yield* haveControlGroups
            const kinds = KINDS.filter((kind) => isContained || OUT_OF_REACH[death]?.includes(kind) !== true)
            yield* Effect.forEach(
              Array(ROUNDS),
              () => withToken((token) => Effect.flatMap(die(kinds, token), ({ pid }) => nothingIsLeft(pid, token))),
              { discard: true },
            )
          }).pipe(Effect.provideService(UseControlGroups, controlGroups)),
        ROUNDS * PATIENCE,
      )
    }
  }
})
