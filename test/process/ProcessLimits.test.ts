/** What real processes may take of the machine, in each way that this one can hold them to it. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { HostEnvironment } from "../../src/command/HostEnvironment.ts"
import type { ProcessLimits } from "../../src/process/ProcessLimits.ts"
import { PluginProcess } from "../../src/process/PluginProcess.ts"
import { describeExit, type ProcessSpec } from "../../src/process/ProcessSpec.ts"
import { PATIENCE, processesOf, withToken } from "../support/descendants.ts"
import { eventually, isAlive } from "../support/host.ts"
import { recordLog } from "../support/log.ts"
import { CONTROLLERS, mayChangeUser, NOBODY, SYSTEM_PYTHON } from "../support/privileges.ts"

const MIB = 1024 ** 2

const program = join(import.meta.dirname, "../fixtures/limits.py")

/** The fixture, read by the interpreter itself: a user that may not go to where the sources are has it all the same. */
const source = readFileSync(program, "utf8")

/** Runs the fixture, which takes something, with limits. */
const run = Effect.fnUntraced(function* (
  what: string,
  token: string,
  limits: ProcessLimits,
  options: Partial<ProcessSpec> = {},
) {
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  let output = ""
  const spec: ProcessSpec = {
    pluginId: "greedy",
    executable: SYSTEM_PYTHON,
    args: ["-IS", "-c", source, what, token],
    cwd: "/",
    env: { PATH: "/usr/bin:/bin" },
    waitDelay: "500 millis",
    limits,
    ...options,
  }
  const spawned = (yield* PluginProcess).spawn(spec, {
    stdout: (chunk) => (output += String(chunk)),
    stderr: (chunk) => process.stderr.write(chunk),
  })
  const running = yield* Scope.provide(spawned, scope)
  const says = (text: string) => eventually(text, () => output.includes(text), PATIENCE)
  return { ...running, says, output: () => output, stop: Scope.close(scope, Exit.void) }
})

const modesOf = ({ limits }: Effect.Success<ReturnType<typeof run>>) => limits.map(({ mode }) => mode)

/** How a limit is held that control groups can hold. */
const best = (controller: string) => (CONTROLLERS.has(controller) ? "control group" : "watched")

describe.skipIf(process.platform !== "linux")("limits of a process", () => {
  const live = (
    name: string,
    effect: (token: string) => Effect.Effect<void, unknown, PluginProcess | Scope.Scope>,
    isRun = true,
  ) => it.live.skipIf(!isRun)(name, () => withToken(effect).pipe(Effect.scoped, Effect.provide(PluginProcess.layer)))

  for (const what of ["memory", "children", "daemon"]) {
    live(`of memory end it, and all that it has started, by a reason: ${what}`, (token) =>
      Effect.gen(function* () {
        const greedy = yield* run(what, token, { memory: 200 * MIB })
        assert.deepStrictEqual(modesOf(greedy), [best("memory")])
        const end = yield* greedy.exit
        assert.include(describeExit(end), "signal SIGKILL, since it used more than 200 MiB of memory")
        yield* greedy.stop
        assert.deepStrictEqual(processesOf(token), [])
      }),
    )
  }

  live("of memory count once what processes share", (token) =>
    Effect.gen(function* () {
      const modest = yield* run("shared", token, { memory: 220 * MIB })
      // Then the next one has been looked at as well, in the same look.
      yield* eventually("all share", () => modest.output().split("shared").length === 5, PATIENCE)
      const greedy = yield* run("memory", `${token}-greedy`, { memory: 200 * MIB })
      yield* greedy.exit
      assert.isTrue(isAlive(modest.pid), "five processes with 120 MiB that they have in common")
    }),
  )

  live("of processes count threads, and end a fork bomb with all of its processes", (token) =>
    Effect.gen(function* () {
      for (const what of ["forks", "threads"]) {
        const bomb = yield* run(what, token, { processes: 50 })
        assert.deepStrictEqual(modesOf(bomb), [best("pids")])
        if (CONTROLLERS.has("pids")) {
          yield* bomb.says(what === "forks" ? "Resource temporarily unavailable" : "ready")
        } else {
          assert.include(describeExit(yield* bomb.exit), "since it ran more than 50 processes and threads")
        }
        yield* bomb.stop
        assert.deepStrictEqual(processesOf(token), [])
      }
    }),
  )

  live("of open files are its own to handle", (token) =>
    Effect.gen(function* () {
      const greedy = yield* run("files", token, { openFiles: 100 })
      assert.deepStrictEqual(modesOf(greedy), ["process"])
      yield* greedy.says("Too many open files")
      assert.isBelow(Number(/open (\d+)/.exec(greedy.output())![1]), 100)
      assert.isTrue(isAlive(greedy.pid))
    }),
  )

  live("of computing end it by a reason", (token) =>
    Effect.gen(function* () {
      const greedy = yield* run("burn", token, { cpuSeconds: 1 })
      assert.strictEqual(
        describeExit(yield* greedy.exit),
        "signal SIGXCPU, since it used more than 1 s of processor time",
      )
    }),
  )

  live("make the kernel take it before the host", (token) =>
    Effect.gen(function* () {
      const own = Number(readFileSync("/proc/self/oom_score_adj", "utf8"))
      const plugin = yield* run("tell", token, { oomScoreAdjust: 300 })
      yield* plugin.says(`oom ${Math.min(own + 300, 1000)}\n`)
      // A second limit, by another program, keeps the id of the process.
      const both = yield* run("tell", token, { oomScoreAdjust: 300, openFiles: 64, cpuSeconds: 1000 })
      yield* both.says(`limits (64, 64) (1000, 1001)`)
      assert.include(both.output(), `oom ${Math.min(own + 300, 1000)}\n`)
      assert.include(processesOf(token), both.pid)
    }),
  )

  live("of processors slow it down, where control groups can", (token) =>
    Effect.gen(function* () {
      const plugin = yield* run("tell", token, { cpus: 0.5 })
      assert.deepStrictEqual(modesOf(plugin), [CONTROLLERS.has("cpu") ? "control group" : "unavailable"])
      yield* plugin.says("ready")
    }),
  )

  live("that can't be held are told, and the others hold", (token) =>
    Effect.gen(function* () {
      const log = recordLog()
      const env = { PATH: "/usr/bin:/bin", LD_LIBRARY_PATH: "/nowhere" }
      const limits = { openFiles: 100, memory: 200 * MIB }
      const greedy = yield* Effect.provide(run("memory", token, limits, { env }), log.layer)
      assert.deepStrictEqual(modesOf(greedy), [best("memory"), "unavailable"])
      const told = log.entries.filter(({ message }) => message.includes("limited to"))
      assert.deepStrictEqual(
        told.map(({ level }) => level),
        ["Info", "Warn"],
      )
      assert.include(told[0]!.message, `plugin greedy is limited to 200 MiB of memory (${best("memory")}`)
      assert.include(told[1]!.message, "is not limited to 100 open files (unavailable: programs of the system can't")
      assert.include(describeExit(yield* greedy.exit), "used more than 200 MiB")
    }),
  )

  it.live("are on Linux only", () =>
    withToken((token) =>
      Effect.gen(function* () {
        const plugin = yield* run("tell", token, { openFiles: 10_000, memory: MIB, oomScoreAdjust: 1 })
        assert.deepStrictEqual(new Set(modesOf(plugin)), new Set(["unavailable"]))
        yield* plugin.says("ready")
      }),
    ).pipe(
      Effect.scoped,
      Effect.provide(PluginProcess.layer),
      Effect.provideService(HostEnvironment, { platform: { platform: "darwin", arch: "x64" }, variables: process.env }),
    ),
  )

  live("that make no sense are refused", (token) =>
    Effect.gen(function* () {
      const cases = [
        [{ memory: -1 }, "memory is -1: expected a whole number, from 1"],
        [{ openFiles: 1.5 }, "openFiles is 1.5: expected a whole number, from 1"],
        [{ cpus: Number.NaN }, "cpus is NaN: expected a number of processors, from 0.01"],
        [{ oomScoreAdjust: 1001 }, "oomScoreAdjust is 1001: expected a whole number, from 0 to 1000"],
      ] as const
      for (const [limits, reason] of cases) {
        const { message } = yield* Effect.flip(run("tell", token, limits))
        assert.include(message, `plugin greedy: can't start ${SYSTEM_PYTHON}: its limit ${reason}; set another limit`)
      }
    }),
  )

  live(
    "run it as another user, who gets no groups and no privileges, and ends with the host's word all the same",
    (token) =>
      Effect.gen(function* () {
        const plugin = yield* run("tell", token, { oomScoreAdjust: 10, openFiles: 64 }, { user: NOBODY })
        yield* plugin.says("ready")
        assert.include(plugin.output(), `user ${NOBODY.uid} ${NOBODY.gid} [] new privileges 1\npermitted 0 0\n`)
        assert.include(plugin.output(), "limits (64, 64)")
        yield* plugin.stop
        assert.deepStrictEqual(processesOf(token), [])
      }),
    mayChangeUser,
  )

  live(
    "of processes are the kernel's to hold for a user of its own",
    (token) =>
      Effect.gen(function* () {
        const user = { name: "54321", uid: 54_321, gid: 54_321 }
        const bomb = yield* run("forks", token, { processes: 30 }, { user })
        assert.deepStrictEqual(modesOf(bomb), [CONTROLLERS.has("pids") ? "control group" : "process"])
        yield* bomb.says("Resource temporarily unavailable")
        assert.isAtMost(Number(/forks (\d+)/.exec(bomb.output())![1]), 30)
      }),
    mayChangeUser,
  )

  live("don't run it as the host's user where it is to be another's", (token) =>
    Effect.gen(function* () {
      const env = { LD_PRELOAD: "/nowhere" }
      const { message } = yield* Effect.flip(run("tell", token, {}, { user: NOBODY, env }))
      assert.include(message, "it is to run as another user, which takes util-linux' setpriv")
      assert.deepStrictEqual(processesOf(token), [])
    }),
  )
})
