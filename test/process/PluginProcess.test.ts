/** Processes that misbehave in every way a supervisor has to survive, as real processes of the system's shell. */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { PluginProcess } from "../../src/process/PluginProcess.ts"
import { describeExit, type ProcessSpec } from "../../src/process/ProcessSpec.ts"
import { temporaryFolder } from "../support/folder.ts"
import { eventually, isAlive } from "../support/host.ts"

/** Runs a shell script as a plugin's process, in a folder of its own. */
const run = Effect.fnUntraced(function* (script: string, options: Partial<ProcessSpec> = {}) {
  const folder = yield* temporaryFolder
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  let stdout = ""
  let stderrBytes = 0
  const process = yield* (yield* PluginProcess)
    .spawn(
      {
        pluginId: "faulty",
        executable: "/bin/sh",
        args: ["-c", script],
        cwd: folder,
        env: { PATH: "/usr/bin:/bin" },
        waitDelay: "300 millis",
        ...options,
      },
      {
        stdout: (chunk) => {
          stdout += Buffer.from(chunk).toString()
        },
        stderr: (chunk) => {
          stderrBytes += chunk.length
        },
      },
    )
    .pipe(Scope.provide(scope))
  const pidIn = Effect.fnUntraced(function* (name: string) {
    const file = join(folder, name)
    yield* eventually(name, () => existsSync(file) && readFileSync(file, "utf8").endsWith("\n"))
    return Number(readFileSync(file, "utf8"))
  })
  const stop = Effect.gen(function* () {
    const began = Date.now()
    yield* Scope.close(scope, Exit.void)
    return Date.now() - began
  })
  return { process, pidIn, stop, stdout: () => stdout, stderrBytes: () => stderrBytes }
})

describe.skipIf(process.platform === "win32")("PluginProcess", () => {
  const live = (name: string, effect: Effect.Effect<void, unknown, PluginProcess | Scope.Scope>) =>
    it.live(name, () => effect.pipe(Effect.scoped, Effect.provide(PluginProcess.layer)))

  live(
    "kills a process that ignores SIGTERM after its wait delay",
    Effect.gen(function* () {
      const { process, stop, stdout } = yield* run(`trap "" TERM; echo ready; while :; do sleep 0.05; done`)
      yield* eventually("the trap is set", () => stdout() === "ready\n")
      const took = yield* stop
      assert.isAtLeast(took, 300)
      assert.isBelow(took, 2500)
      assert.isFalse(isAlive(process.pid))
      assert.deepStrictEqual(yield* process.exit, { code: null, signal: "SIGKILL" })
    }),
  )

  live(
    "ends at once when the process obeys SIGTERM",
    Effect.gen(function* () {
      const { process, stop } = yield* run(`exec sleep 300`, { waitDelay: "5 seconds" })
      assert.isBelow(yield* stop, 1000)
      assert.strictEqual(describeExit(yield* process.exit), "signal SIGTERM")
    }),
  )

  live(
    "kills a grandchild that outlives the leader and holds its pipes",
    Effect.gen(function* () {
      const { pidIn, process, stop } = yield* run(`trap "" TERM; sleep 300 & echo $! > child; exit 0`)
      const child = yield* pidIn("child")
      assert.deepStrictEqual(yield* process.exit, { code: 0, signal: null })
      assert.isTrue(isAlive(child), "it lives on and keeps stdout open")
      assert.isBelow(yield* stop, 3000)
      assert.isFalse(isAlive(child))
    }),
  )

  live(
    "finds a daemon that left the process group",
    Effect.gen(function* () {
      const { pidIn, stop } = yield* run(`setsid sh -c 'echo $$ > daemon; exec sleep 300' & wait`)
      const daemon = yield* pidIn("daemon")
      assert.isTrue(isAlive(daemon))
      yield* stop
      assert.strictEqual(isAlive(daemon), process.platform !== "linux")
    }),
  )

  live(
    "drains 10 MiB of stderr and keeps only its end",
    Effect.gen(function* () {
      const { process, stderrBytes, stop } = yield* run(
        `i=0; while [ $i -lt 160 ]; do head -c 65536 /dev/zero | tr '\\0' x >&2; echo >&2; i=$((i+1)); done; echo last >&2; exit 3`,
      )
      assert.strictEqual(describeExit(yield* process.exit), "exit code 3")
      const tail = yield* process.stderrTail
      assert.strictEqual(tail.at(-1), "last")
      assert.isBelow(tail.join("").length, 64 * 1024)
      yield* stop
      assert.strictEqual(stderrBytes(), 160 * 65537 + 5)
    }),
  )

  live(
    "tells a file that can't be started",
    Effect.gen(function* () {
      const error = yield* Effect.flip(run("", { executable: "/no/such/file" }))
      assert.strictEqual(error._tag, "PluginSpawnError")
      assert.include(error.message, "plugin faulty")
      assert.include(error.message, "/no/such/file")
    }),
  )

  live(
    "gives the process nothing of the host's environment",
    Effect.gen(function* () {
      const { process: child, stdout } = yield* run("env | sort")
      yield* child.exit
      yield* eventually("the output is there", () => stdout().includes("PWD="))
      assert.deepStrictEqual(
        stdout()
          .split("\n")
          .map((line) => line.split("=")[0])
          .filter((name) => name !== "" && name !== "_"),
        ["PATH", "PLUGIN_LIFELINE_FD", "PLUGIN_SUPERVISOR_PROCESS", "PWD"],
      )
    }),
  )
})
