import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { createHash } from "node:crypto"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import type { Manifest } from "../../src/bundle/Manifest.ts"
import { PathSanitizer } from "../../src/bundle/PathSanitizer.ts"
import { HostEnvironment } from "../../src/command/HostEnvironment.ts"
import { PluginCommand, type PluginCommandOptions } from "../../src/command/PluginCommand.ts"
import { PythonInterpreter } from "../../src/command/PythonInterpreter.ts"
import { WAIT_DELAY } from "../../src/command/WaitDelay.ts"
import { folder, type Node } from "../support/folder.ts"

const INTERPRETER = "/usr/bin/some-python"
const live = PluginCommand.layer.pipe(
  Layer.provide([PathSanitizer.layer, PythonInterpreter.layerTest(INTERPRETER)]),
  Layer.provide(
    Layer.succeed(HostEnvironment, {
      platform: { platform: "linux", arch: "x64" },
      variables: { PATH: "/bin", SECRET: "x" },
    }),
  ),
  Layer.provide(NodeServices.layer),
)
const test = (name: string, effect: Effect.Effect<void, unknown, PluginCommand | Scope.Scope>) =>
  it.effect(name, () => effect.pipe(Effect.scoped, Effect.provide(live)))

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")
const bundle = (files: { readonly [path: string]: Node }, server: Manifest["server"]) =>
  Effect.map(folder(files), (directory) => ({
    directory,
    manifest: { id: "my-plugin", name: "x", server } as Manifest,
  }))
const command = Effect.fnUntraced(function* (
  files: { readonly [path: string]: Node },
  server: Manifest["server"],
  options?: PluginCommandOptions,
) {
  const made = yield* bundle(files, server)
  return { ...made, command: yield* (yield* PluginCommand).fromManifest(made, options) }
})

describe("PluginCommand", () => {
  test(
    "runs a Python plugin by its interpreter",
    Effect.gen(function* () {
      const { command: built, directory } = yield* command({ "app/main.py": "" }, { executable: "./app/main.py" })
      assert.deepStrictEqual(built, {
        pluginId: "my-plugin",
        kind: "python",
        executable: INTERPRETER,
        args: [join(directory, "app/main.py")],
        cwd: directory,
        env: { PATH: "/bin" },
        waitDelay: WAIT_DELAY,
        checksums: [],
      })
    }),
  )

  test(
    "runs a native plugin by itself and remembers what it was",
    Effect.gen(function* () {
      const { command: built, directory } = yield* command(
        { "bin/plugin": { executable: "binary" } },
        { executables: { "linux-amd64": "bin/plugin" } },
      )
      const file = join(directory, "bin/plugin")
      assert.strictEqual(built.kind, "native")
      assert.strictEqual(built.executable, file)
      assert.deepStrictEqual(built.args, [])
      assert.strictEqual(built.cwd, directory)
      assert.deepStrictEqual(built.checksums, [{ file, sha256: sha256("binary") }])
      const { verifyChecksums } = yield* PluginCommand
      yield* verifyChecksums(built)
      writeFileSync(file, "another binary")
      const error = yield* Effect.flip(verifyChecksums(built))
      assert.strictEqual(error.actual, sha256("another binary"))
      assert.include(error.message, "plugin my-plugin")
      assert.include(error.message, "it was changed")
    }),
  )

  test(
    "takes the operator's settings",
    Effect.gen(function* () {
      const { command: built } = yield* command(
        { "plugin.py": "" },
        { executable: "plugin.py" },
        {
          allowVariables: ["SECRET"],
          variables: { OWN: "1" },
          waitDelay: "1 second",
        },
      )
      assert.deepStrictEqual(built.env, { PATH: "/bin", SECRET: "x", OWN: "1" })
      assert.strictEqual(built.waitDelay, "1 second")
    }),
  )

  test(
    "pins any files, relative ones in the bundle, in upper or lower case",
    Effect.gen(function* () {
      const outside = yield* folder({ python: "interpreter" })
      const { command: built, directory } = yield* command(
        { "plugin.py": "code" },
        { executable: "plugin.py" },
        {
          checksums: { "plugin.py": sha256("code").toUpperCase(), [join(outside, "python")]: sha256("interpreter") },
        },
      )
      const { verifyChecksums } = yield* PluginCommand
      assert.deepStrictEqual(
        built.checksums.map(({ file }) => file),
        [join(directory, "plugin.py"), join(outside, "python")],
      )
      yield* verifyChecksums(built)
      writeFileSync(join(outside, "python"), "swapped")
      assert.strictEqual((yield* Effect.flip(verifyChecksums(built))).file, join(outside, "python"))
    }),
  )

  test(
    "lets a pinned checksum of a native plugin win, and refuses one that isn't a checksum",
    Effect.gen(function* () {
      const files = { plugin: { executable: "binary" } }
      const { verifyChecksums } = yield* PluginCommand
      const right = sha256("binary")
      for (const wrong of [sha256("other"), "", "zz", right.slice(2), `${right}00`, `${right}zz`, `sha256:${right}`]) {
        const { command: built } = yield* command(files, { executable: "plugin" }, { checksums: { plugin: wrong } })
        assert.strictEqual(built.checksums.length, 1)
        assert.strictEqual((yield* Effect.flip(verifyChecksums(built)))._tag, "ChecksumError")
      }
    }),
  )

  test(
    "takes a native plugin's pinned checksum that is right",
    Effect.gen(function* () {
      const { command: built } = yield* command(
        { plugin: { executable: "binary" } },
        { executable: "plugin" },
        { checksums: { "./plugin": sha256("binary") } },
      )
      assert.lengthOf(built.checksums, 1)
      yield* (yield* PluginCommand).verifyChecksums(built)
    }),
  )

  test(
    "tells of a file that is gone when its checksum is due",
    Effect.gen(function* () {
      const { command: built, directory } = yield* command(
        { "bin/plugin": { executable: "binary" } },
        { executable: "bin/plugin" },
      )
      rmSync(join(directory, "bin/plugin"))
      const { verifyChecksums } = yield* PluginCommand
      const gone = yield* Effect.flip(verifyChecksums(built))
      assert.isUndefined(gone.actual)
      assert.strictEqual(gone.expected, sha256("binary"))
      assert.include(gone.message, `${join(directory, "bin/plugin")} can't be read`)
      mkdirSync(join(directory, "bin/plugin"))
      assert.isUndefined((yield* Effect.flip(verifyChecksums(built))).actual)
    }),
  )

  test(
    "makes no command of a bundle without an executable for this platform, or without its Python file",
    Effect.gen(function* () {
      const none = yield* Effect.flip(command({}, { executables: { "windows-amd64": "plugin.exe" } }))
      assert.strictEqual(none._tag, "NoExecutableError")
      const missing = yield* Effect.flip(command({}, { executable: "plugin.py" }))
      assert.strictEqual(missing._tag, "UnsafePathError")
      assert.include(missing.message, "doesn't exist")
    }),
  )

  test(
    "tells what keeps a native plugin from being executed",
    Effect.gen(function* () {
      const failure = (files: { readonly [path: string]: Node }) =>
        Effect.map(Effect.flip(command(files, { executable: "plugin" })), (error) => error.message)
      assert.include(yield* failure({ plugin: "not executable" }), "chmod +x")
      assert.include(yield* failure({ plugin: { folder: true } }), "is no file")
      assert.include(yield* failure({}), "doesn't exist")
    }),
  )

  test(
    "follows no path out of the bundle",
    Effect.gen(function* () {
      for (const executable of ["../plugin.py", "/usr/bin/env", "..\\plugin.py"]) {
        const error = yield* Effect.flip(command({}, { executable }))
        assert.strictEqual(error._tag, "UnsafePathError")
      }
    }),
  )

  test(
    "serves an executable without a manifest",
    Effect.gen(function* () {
      const directory = yield* folder({ plugin: { executable: "binary" } })
      const { native } = yield* PluginCommand
      const built = yield* native({ pluginId: "own", executable: join(directory, "plugin"), args: ["--fast"] })
      assert.deepStrictEqual(
        [built.pluginId, built.kind, built.args, built.cwd],
        ["own", "native", ["--fast"], directory],
      )
      chmodSync(join(directory, "plugin"), 0o644)
      const error = yield* Effect.flip(native({ pluginId: "own", executable: join(directory, "plugin") }))
      assert.strictEqual(error._tag, "NotExecutableError")
    }),
  )
})
