/** What may happen to the supervisor's own process: signals, readers that go away, faults, and who started it. */
import { execFileSync, spawn } from "node:child_process"
import { existsSync, openSync, readdirSync } from "node:fs"
import { join, resolve } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { inject } from "vitest"
import { folder } from "../support/folder.ts"
import { eventually, isAlive, noPython } from "../support/host.ts"

const root = resolve(import.meta.dirname, "../..")
const python = inject("python")

const PLUGIN = `
import os
from mattermost_plugin import HookName, Plugin, hook, run_plugin

class Farewell(Plugin):
    @hook(HookName.OnDeactivate)
    def deactivate(self):
        open(os.path.join(self.config.plugin_path, "deactivated"), "w").close()

run_plugin(Farewell)
`

/** Throws out of everybody's reach when it is told to. */
const FAULT = `
process.on("SIGUSR2", () => setImmediate(() => { throw new Error("out of the blue") }))
process.on("SIGWINCH", () => { Promise.reject(new Error("out of the dark")) })
`

interface Settings {
  readonly command?: ReadonlyArray<string>
  readonly stdin?: number
}

/** A supervisor with a plugin that says whether it was told to end. */
const supervisor = Effect.fnUntraced(function* ({ command, stdin }: Settings = {}) {
  const home = yield* folder({
    "plugins/farewell/plugin.json": `{"id":"farewell","name":"x","server":{"runtime":"python","executable":"plugin.py"}}`,
    "plugins/farewell/plugin.py": PLUGIN,
    "fault.mjs": FAULT,
    run: { folder: true },
  })
  const [program = "", ...args] = command ?? [
    process.execPath,
    "--import",
    join(home, "fault.mjs"),
    "src/main.ts",
    "serve",
  ]
  const flags = ["--port", "0", "--plugins", join(home, "plugins"), "--data", join(home, "data")]
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(program, [...args, ...flags, "--runtime-directory", join(home, "run")], {
        cwd: root,
        env: { ...process.env, PATH: `${"bin" in python ? python.bin : ""}:${process.env["PATH"]}` },
        stdio: [stdin ?? "ignore", "pipe", "pipe"],
      }),
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL")),
  )
  let [output, log] = ["", ""]
  child.stdout!.on("data", (chunk) => (output += String(chunk)))
  child.stderr!.on("data", (chunk) => (log += String(chunk)))
  yield* eventually("the plugin is active", () => child.exitCode !== null || output.includes("Try:"), 60_000)
  assert.isNull(child.exitCode, log)
  return {
    child,
    log: () => log,
    base: /listens on (\S+)/.exec(output)![1]!,
    hasEnded: eventually("it has ended", () => child.exitCode !== null || child.signalCode !== null, 30_000),
    wasTold: () => existsSync(join(home, "plugins/farewell/deactivated")),
    sockets: () => readdirSync(join(home, "run")),
  }
})

const answers = (base: string) => Effect.promise(() => fetch(`${base}/plugins/nobody/`).then(({ status }) => status))

describe.skipIf(noPython || process.platform === "win32")("the supervisor's process", () => {
  it.live("goes on when nobody reads its output any more, and stops cleanly when its terminal closes", () =>
    Effect.gen(function* () {
      const { base, child, hasEnded, sockets, wasTold } = yield* supervisor()
      assert.strictEqual(sockets().length, 1)
      child.stdout!.destroy()
      child.stderr!.destroy()
      // Both of them get something to write.
      for (let request = 0; request < 2; request++) assert.strictEqual(yield* answers(base), 404)
      child.kill("SIGHUP")
      yield* hasEnded
      assert.deepStrictEqual([child.exitCode, wasTold(), sockets()], [0, true, []])
    }).pipe(Effect.scoped),
  )

  it.live("is not ended by a terminal that closes if it was started by nohup", () =>
    Effect.gen(function* () {
      // What nohup makes of a terminal.
      const { base, child, hasEnded, log, wasTold } = yield* supervisor({ stdin: openSync("/dev/null", "w") })
      child.kill("SIGHUP")
      for (let request = 0; request < 50; request++) assert.strictEqual(yield* answers(base), 404)
      child.kill("SIGTERM")
      yield* hasEnded
      assert.deepStrictEqual([child.exitCode, wasTold()], [0, true], log())
    }).pipe(Effect.scoped),
  )

  it.live.each(["SIGUSR2", "SIGWINCH"] as const)(
    "is stopped cleanly by a fault that nobody has caught, and says so (%s)",
    (signal) =>
      Effect.gen(function* () {
        const { child, hasEnded, log, sockets, wasTold } = yield* supervisor()
        child.kill(signal)
        yield* hasEnded
        assert.deepStrictEqual([child.exitCode, wasTold(), sockets()], [1, true, []], log())
        const fault = log()
          .split("\n")
          .find((line) => line.includes("nobody has caught"))!
        assert.include(["ERROR", "Error"], JSON.parse(fault).level)
        assert.include(fault, signal === "SIGUSR2" ? "out of the blue" : "out of the dark")
      }).pipe(Effect.scoped),
  )

  it.live.each(["npm", "the shell"])("ends when what started it is killed: %s", (link) =>
    Effect.gen(function* () {
      const { child, hasEnded, sockets, wasTold } = yield* supervisor({ command: ["npm", "start", "--"] })
      const childOf = (pid: number) => Number(String(execFileSync("ps", ["-o", "pid=", "--ppid", String(pid)])))
      const shell = childOf(child.pid!)
      const script = childOf(shell)
      process.kill(link === "npm" ? child.pid! : shell, "SIGKILL")
      yield* hasEnded
      yield* eventually("the supervisor has ended", () => !isAlive(script), 30_000)
      assert.isTrue(wasTold())
      assert.deepStrictEqual(sockets(), [])
    }).pipe(Effect.scoped),
  )
})
