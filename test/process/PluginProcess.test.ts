/** Processes that misbehave in every way a supervisor has to survive, as real processes of the system's shell. */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { vi } from "vitest"
import { HostEnvironment } from "../../src/command/HostEnvironment.ts"
import { PluginProcess } from "../../src/process/PluginProcess.ts"
import { describeExit, PluginSpawnError, type ProcessSpec } from "../../src/process/ProcessSpec.ts"
import { folder, temporaryFolder } from "../support/folder.ts"
import { BUSY, eventually, isAlive } from "../support/host.ts"
import { type Entry, recordLog } from "../support/log.ts"

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
      assert.isBelow(took, BUSY)
      assert.isFalse(isAlive(process.pid))
      assert.deepStrictEqual(yield* process.exit, { code: null, signal: "SIGKILL" })
    }),
  )

  live(
    "ends at once when the process obeys SIGTERM",
    Effect.gen(function* () {
      const { process, stop } = yield* run(`exec sleep 300`, { waitDelay: "60 seconds" })
      assert.isBelow(yield* stop, BUSY)
      assert.strictEqual(describeExit(yield* process.exit), "signal SIGTERM")
    }),
  )

  live(
    "kills a grandchild that outlives the leader and holds its pipes, without a wait delay that nobody needs",
    Effect.gen(function* () {
      const { pidIn, process, stop } = yield* run(`trap "" TERM; sleep 300 & echo $! > child; exit 0`, {
        waitDelay: "60 seconds",
      })
      const child = yield* pidIn("child")
      assert.deepStrictEqual(yield* process.exit, { code: 0, signal: null })
      assert.isTrue(isAlive(child), "it lives on and keeps stdout open")
      assert.isBelow(yield* stop, BUSY)
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
      assert.include(error.message, "check that the file exists")
      const { message } = new PluginSpawnError({
        pluginId: "faulty",
        executable: "/bin/plugin",
        reason: "spawn /bin/sh EMFILE",
        diagnosis: [],
      })
      assert.include(message, "no file descriptor is left")
      assert.notInclude(message, "check that the file exists")
    }),
  )

  live(
    "hands connections on, both ways, beside a secret and whatever wraps it, until it ends",
    Effect.gen(function* () {
      const echo = 'IFS=, read -r a b <<E\n$FDS\nE\neval "cat <&$a >&$a"; eval "printf end >&$b"'
      const { process, stop } = yield* run(echo.replaceAll("\\n", "\n"), {
        secret: { variable: "TOKEN_FD", value: "s3cret" },
        sockets: { variable: "FDS", count: 2 },
        limits: { openFiles: 200 },
      })
      const [first, second] = process.sockets
      const heard = { first: "", second: "", isOver: false }
      first!.on("data", (chunk) => (heard.first += String(chunk)))
      second!.on("data", (chunk) => (heard.second += String(chunk)))
      second!.on("end", () => (heard.isOver = true))
      first!.write("there and back")
      yield* eventually("it is echoed", () => heard.first === "there and back")
      first!.end()
      yield* eventually("the other has its word", () => heard.second === "end" && heard.isOver)
      yield* process.exit
      yield* stop
      assert.isTrue(first!.destroyed && second!.destroyed)
      assert.deepStrictEqual((yield* run("exit 0")).process.sockets, [])
    }),
  )

  live(
    "hands a secret over by a pipe, and knows that it was taken",
    Effect.gen(function* () {
      const python = (program: string) => ({
        executable: "/usr/bin/env",
        args: ["python3", "-IS", "-c", `import os\nfd = int(os.environ["TOKEN_FD"])\n${program}`],
        secret: { variable: "TOKEN_FD", value: "s3cret ".repeat(20_000) },
      })
      const reads = `value = b"".join(iter(lambda: os.read(fd, 65536), b""))\nos.write(fd, b".")\nprint(len(value), flush=True)`
      for (const inheritStdin of [false, true]) {
        const taker = yield* run("", { ...python(`${reads}\nos.read(0, 1)`), inheritStdin })
        assert.isTrue(yield* taker.process.secretTaken)
        assert.isTrue(yield* taker.process.secretTaken, "whenever one asks")
        yield* eventually("all of it has come", () => taker.stdout() === "140000\n")
        const read = (file: string) => readFileSync(`/proc/${taker.process.pid}/${file}`, "utf8")
        if (process.platform === "linux") assert.notInclude(read("environ") + read("cmdline"), "s3cret")
      }
      const refuser = yield* run("", python(`os.close(fd)\nos.read(0, 1)`))
      assert.isFalse(yield* refuser.process.secretTaken)
      const quitter = yield* run("", python(`os.fork() or os.read(0, 1)`))
      assert.isFalse(yield* quitter.process.secretTaken, "although a child of it has the pipe still")
      assert.isFalse(yield* (yield* run("sleep 300")).process.secretTaken)
    }),
  )

  live(
    "has it end although it is stopped, or in an environment that no shell hands on",
    Effect.gen(function* () {
      const halted = yield* run(`trap "echo told; exit 0" TERM; echo ready; kill -STOP $$; sleep 300`, {
        waitDelay: "30 seconds",
        env: { PATH: "/usr/bin:/bin", "a.b": "1", LD_LIBRARY_PATH: "/nowhere" },
      })
      yield* eventually("it is ready", () => halted.stdout() === "ready\n")
      yield* halted.stop
      assert.deepStrictEqual(yield* halted.process.exit, { code: 0, signal: null })
      assert.strictEqual(halted.stdout(), "ready\ntold\n")
    }),
  )

  live(
    "gives the process nothing of the host's environment",
    Effect.gen(function* () {
      const { process: child, stdout } = yield* run("", { executable: "/usr/bin/env", args: [] })
      yield* child.exit
      yield* eventually("the output is there", () => stdout().includes("PLUGIN_SUPERVISOR_PROCESS="))
      assert.sameMembers(
        stdout()
          .split("\n")
          .map((line) => line.split("=")[0])
          // What bash counts, where that is the system's shell.
          .filter((name) => name !== "" && name !== "SHLVL"),
        ["PATH", "PLUGIN_LIFELINE_FD", "PLUGIN_SUPERVISOR_PROCESS"],
      )
    }),
  )
})

/** As on Windows, with a `taskkill` of the test's own. */
describe.skipIf(process.platform === "win32")("PluginProcess without signals and groups", () => {
  const windows = (
    taskkill: string,
    test: (bin: string, log: ReadonlyArray<Entry>) => Effect.Effect<void, unknown, PluginProcess | Scope.Scope>,
  ) =>
    Effect.gen(function* () {
      const bin = yield* folder({ taskkill: { executable: `#!/bin/sh\n${taskkill}\n` } })
      vi.stubEnv("PATH", `${bin}:${process.env["PATH"]}`)
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.unstubAllEnvs()))
      const { entries, layer } = recordLog()
      yield* test(bin, entries).pipe(
        Effect.provide(PluginProcess.layer),
        Effect.provideService(HostEnvironment, { platform: { platform: "win32", arch: "x64" }, variables: {} }),
        Effect.provide(layer),
      )
    }).pipe(Effect.scoped)

  it.live("has taskkill end the tree of a process, but none whose root has ended", () =>
    windows(`echo "$@" >> "\${0%/*}/calls"; kill -s KILL -- "-$2"`, (bin, log) =>
      Effect.gen(function* () {
        const { pidIn, process, stop } = yield* run(`sleep 300 & echo $! > child; wait`, { waitDelay: "30 seconds" })
        const child = yield* pidIn("child")
        yield* stop
        assert.isFalse(isAlive(process.pid))
        yield* eventually("its child is gone", () => !isAlive(child))
        assert.strictEqual(readFileSync(join(bin, "calls"), "utf8"), `/pid ${process.pid} /T /F\n`)
        const ended = yield* run("exit 3")
        yield* ended.process.exit
        yield* ended.stop
        assert.strictEqual(readFileSync(join(bin, "calls"), "utf8").split("\n").length, 2)
        assert.deepStrictEqual(log, [])
      }),
    ),
  )

  it.live("ends the process itself and says so, where taskkill fails", () =>
    windows(`echo "Access is denied." >&2; exit 1`, (_, log) =>
      Effect.gen(function* () {
        const { process, stop } = yield* run("exec sleep 300")
        yield* stop
        assert.isFalse(isAlive(process.pid))
        const levels = log.map(({ level }) => level)
        assert.deepStrictEqual(levels, ["Error"])
        assert.include(log[0]!.message, "plugin faulty was stopped, but not all of its processes have ended")
        assert.include(log[0]!.message, "Access is denied")
      }),
    ),
  )
})
