/** Tools that misbehave, as real processes of the system's shell. */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import { PluginProcess } from "../../src/process/PluginProcess.ts"
import { masked, ToolRun } from "../../src/python/ToolRun.ts"
import { temporaryFolder } from "../support/folder.ts"
import { eventually, isAlive } from "../support/host.ts"

const services = ToolRun.layer.pipe(Layer.provide(PluginProcess.layer))

const run = (script: string, cwd: string, stallLimit: Duration.Input = "60 seconds", lines: Array<string> = []) =>
  Effect.flatMap(ToolRun, (tools) =>
    tools.run({
      pluginId: "my-plugin",
      step: "installing",
      executable: "/bin/sh",
      args: ["-c", script],
      cwd,
      env: { PATH: "/usr/bin:/bin" },
      stallLimit: Duration.fromInputUnsafe(stallLimit),
      secrets: ["sesame"],
      offline: false,
      onLine: (line) => lines.push(line),
    }),
  ).pipe(Effect.provide(services))

const pidIn = Effect.fnUntraced(function* (file: string) {
  yield* eventually(file, () => existsSync(file) && readFileSync(file, "utf8").endsWith("\n"))
  return Number(readFileSync(file, "utf8"))
})

describe.skipIf(process.platform === "win32")("ToolRun", () => {
  it.live("answers what a tool prints, and tells each line", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      assert.strictEqual(yield* run("echo one; echo two >&2", yield* temporaryFolder, "60 seconds", lines), "one\n")
      assert.deepStrictEqual(lines.toSorted(), ["one", "two"])
    }).pipe(Effect.scoped),
  )

  it.live("tells the end of a tool's output, without secrets", () =>
    Effect.gen(function* () {
      const script = `for i in $(seq 100); do echo line $i; done; echo "http://me:sesame@host/ https://a:b@c/ sesame" >&2; exit 3`
      const error = yield* Effect.flip(run(script, yield* temporaryFolder))
      assert.strictEqual(error._tag, "PythonInstallError")
      assert.include(error.message, "plugin my-plugin: installing: it ended with exit code 3")
      assert.include(error.message, "http://***@host/ https://***@c/ ***")
      assert.notInclude(error.message, "sesame")
      assert.include(error.message, "line 100")
      assert.notInclude(error.message, "line 50\n")
    }).pipe(Effect.scoped),
  )

  it.live("ends a tool that does nothing, and what it has started", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const script = `trap "" TERM; sleep 600 & echo $! > child; echo $$ > leader; echo waiting; wait; wait`
      const error = yield* Effect.flip(run(script, folder, "1 second"))
      assert.include(error.message, "it was ended after doing nothing for 1s")
      assert.include(error.message, "waiting")
      for (const name of ["child", "leader"]) assert.isFalse(isAlive(yield* pidIn(join(folder, name))), name)
    }).pipe(Effect.scoped),
  )

  it.live.skipIf(process.platform !== "linux")("lets a silent tool go on that writes", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const script = "while [ ! -e stop ]; do head -c 200000 /dev/zero > file; sleep 0.1; done; echo done"
      const fiber = yield* Effect.forkChild(run(script, folder, "5 seconds"), { startImmediately: true })
      yield* Effect.sleep("7 seconds")
      writeFileSync(join(folder, "stop"), "")
      assert.strictEqual(yield* Fiber.join(fiber), "done\n")
    }).pipe(Effect.scoped),
  )

  it.live("ends a tool and what it has started when it is interrupted", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const fiber = yield* Effect.forkChild(run("sleep 600 & echo $! > child; wait", folder), {
        startImmediately: true,
      })
      const child = yield* pidIn(join(folder, "child"))
      yield* Fiber.interrupt(fiber)
      assert.isFalse(isAlive(child))
    }).pipe(Effect.scoped),
  )

  it("masks what stands before the host of a URL", () => {
    assert.strictEqual(
      masked("see https://me:p@ss@h/x?u=a@b and ftp://t@h", []),
      "see https://***@h/x?u=a@b and ftp://***@h",
    )
  })
})
