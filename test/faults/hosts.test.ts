/** Hosts in trouble: what they can't do for their plugins any more is done by a watchdog, or by the next host. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { PluginProcess } from "../../src/process/PluginProcess.ts"
import {
  haveControlGroups,
  hostOf,
  nothingIsLeft,
  PATIENCE,
  processesOf,
  watchdogsOf,
  withToken,
} from "../support/descendants.ts"
import { eventually, isAlive, noPython } from "../support/host.ts"

/** A host that starts no plugin, but sees to what others have left. */
const nextHost = Effect.provide(PluginProcess, PluginProcess.layer)

describe.skipIf(process.platform !== "linux" || noPython)("a host", () => {
  it.live.each([true, false])(
    "that has no descriptor left stops all the same, control groups: %s",
    (controlGroups) =>
      withToken((token) =>
        Effect.gen(function* () {
          const prefix = ["prlimit", "--nofile=80"]
          const kinds = ["ignoring", "session", "daemon"]
          const { host, pid } = yield* hostOf(kinds, token, { controlGroups, exhaust: true, prefix })
          yield* eventually("it has ended", () => host.exitCode !== null, PATIENCE)
          assert.strictEqual(host.exitCode, 0)
          yield* nothingIsLeft(pid, token)
        }).pipe(Effect.scoped),
      ),
    2 * PATIENCE,
  )

  it.live(
    "that is killed has a watchdog even if the first one was killed before",
    () =>
      withToken((token) =>
        Effect.gen(function* () {
          const { kill, pid } = yield* hostOf(["session"], token, { controlGroups: false })
          yield* eventually("it has one", () => watchdogsOf(pid).length === 1, PATIENCE)
          const first = watchdogsOf(pid)[0]!
          process.kill(first, "SIGKILL")
          yield* eventually("there is another", () => watchdogsOf(pid).some((pid) => pid !== first), PATIENCE)
          assert.isAbove(processesOf(token).length, 1)
          yield* kill("SIGKILL")
          yield* nothingIsLeft(pid, token)
        }).pipe(Effect.scoped),
      ),
    2 * PATIENCE,
  )

  it.live(
    "that starts ends what a dead one has left, whose watchdog is dead too, and lets a living one's be",
    () =>
      withToken((dead) =>
        withToken((living) =>
          Effect.gen(function* () {
            const kinds = ["session", (yield* haveControlGroups) ? "cleared-daemon" : "daemon"]
            const one = yield* hostOf(kinds, dead)
            const other = yield* hostOf(kinds, living)
            // The host, two plugins and what those have started; who forks twice takes a moment.
            yield* eventually("all of them are there", () => processesOf(living).length === 5, PATIENCE)
            const processes = processesOf(living)
            // It can't start another meanwhile.
            yield* one.kill("SIGSTOP")
            for (const pid of watchdogsOf(one.pid)) process.kill(pid, "SIGKILL")
            yield* one.kill("SIGKILL")
            yield* eventually("it is dead", () => !isAlive(one.pid), PATIENCE)
            yield* nextHost
            yield* nothingIsLeft(one.pid, dead)
            assert.deepStrictEqual(processesOf(living), processes)
            yield* other.kill("SIGKILL")
            yield* nothingIsLeft(other.pid, living)
          }).pipe(Effect.scoped),
        ),
      ),
    2 * PATIENCE,
  )
})
