import { execFileSync } from "node:child_process"
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { createHash } from "node:crypto"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, type Scope } from "effect"
import type { Manifest } from "../../src/bundle/Manifest.ts"
import { PathSanitizer } from "../../src/bundle/PathSanitizer.ts"
import { HostEnvironment } from "../../src/command/HostEnvironment.ts"
import { PluginCommand, type PluginCommandOptions } from "../../src/command/PluginCommand.ts"
import { PythonEnvironment } from "../../src/command/PythonEnvironment.ts"
import { PythonInterpreter } from "../../src/command/PythonInterpreter.ts"
import { ServerVersion } from "../../src/command/ServerVersion.ts"
import { WAIT_DELAY } from "../../src/command/WaitDelay.ts"
import { folder, type Node } from "../support/folder.ts"

const INTERPRETER = "/usr/bin/some-python"
/** Answers the environment's folder, where one is asked for. */
const interpreter = Layer.succeed(PythonInterpreter, {
  find: (_: string, venv?: string) => Effect.succeed(venv ?? INTERPRETER),
  findOwn: (_: string, venv?: string) => Effect.succeed(Option.fromNullishOr(venv)),
})
const live = PluginCommand.layer.pipe(
  Layer.provide([PathSanitizer.layer, interpreter]),
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

  it.effect("runs a Python plugin by the environment that is made for it, where there is who makes one", () =>
    Effect.gen(function* () {
      const { command: built } = yield* command({ "plugin.py": "" }, { executable: "plugin.py" })
      assert.strictEqual(built.executable, "/made/for/it")
      const { command: native } = yield* command({ plugin: { executable: "" } }, { executable: "plugin" })
      assert.strictEqual(native.kind, "native")
    }).pipe(Effect.scoped, Effect.provide(live.pipe(Layer.provide(PythonEnvironment.layerTest("/made/for/it"))))),
  )

  test(
    "runs a native plugin by itself",
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
      assert.deepStrictEqual(built.checksums, [])
    }),
  )

  test(
    "knows a native plugin by its checksum, and another in its place",
    Effect.gen(function* () {
      const { command: built, directory } = yield* command(
        { plugin: { executable: "binary" } },
        { executable: "plugin" },
        { checksums: { plugin: sha256("binary") } },
      )
      const { verifyChecksums } = yield* PluginCommand
      yield* verifyChecksums(built)
      writeFileSync(join(directory, "plugin"), "another binary")
      const error = yield* Effect.flip(verifyChecksums(built))
      assert.strictEqual(error.actual, sha256("another binary"))
      assert.include(error.message, "plugin my-plugin")
      assert.include(error.message, "it was changed")
    }),
  )

  test(
    "reads all of a large native plugin for its checksum",
    Effect.gen(function* () {
      const binary = `${"some megabyte".repeat(100_000)} and its end`
      const { command: built } = yield* command(
        { plugin: { executable: binary } },
        { executable: "plugin" },
        { checksums: { plugin: sha256(binary) } },
      )
      yield* (yield* PluginCommand).verifyChecksums(built)
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
    "refuses a checksum that is another's, or none",
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
        { checksums: { "bin/plugin": sha256("binary") } },
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
    "waits for no pipe that stands where a program should",
    Effect.gen(function* () {
      const { native, verifyChecksums } = yield* PluginCommand
      const made = yield* bundle({ plugin: { executable: "binary" } }, { executable: "plugin" })
      const pipe = join(made.directory, "pipe.py")
      execFileSync("mkfifo", ["-m", "0755", pipe])
      assert.include((yield* Effect.flip(native({ pluginId: "own", executable: pipe }))).message, "is no file")
      const python = { ...made, manifest: { ...made.manifest, server: { executable: "pipe.py" } } as Manifest }
      assert.include((yield* Effect.flip((yield* PluginCommand).fromManifest(python))).message, "is no file")
      const pinned = yield* (yield* PluginCommand).fromManifest(made, { checksums: { "pipe.py": sha256("x") } })
      const error = yield* Effect.flip(verifyChecksums(pinned))
      assert.strictEqual(error.file, pipe)
      assert.isUndefined(error.actual)
    }),
  )

  test(
    "takes the environment that the manifest names, in the bundle",
    Effect.gen(function* () {
      const files = { "plugin.py": "", "env/bin/python": { executable: "" } }
      const named = (venv_path: string) => command(files, { executable: "plugin.py", python: { venv_path } })
      assert.strictEqual((yield* named("")).command.executable, INTERPRETER)
      const { command: built, directory } = yield* named("./env")
      assert.strictEqual(built.executable, join(directory, "env"))
      assert.strictEqual((yield* Effect.flip(named("../env")))._tag, "UnsafePathError")
      assert.include((yield* Effect.flip(named("gone"))).message, "doesn't exist")
    }),
  )

  test(
    "starts no plugin that needs a later host",
    Effect.gen(function* () {
      const needs = Effect.fnUntraced(function* (needed: string, version: string | undefined) {
        const made = yield* bundle({ "plugin.py": "" }, { executable: "plugin.py" })
        const manifest = { ...made.manifest, min_server_version: needed } as Manifest
        const commands = yield* Effect.provide(
          PluginCommand,
          Layer.fresh(live).pipe(Layer.provide(Layer.succeed(ServerVersion, version))),
        )
        return yield* Effect.result(commands.fromManifest({ ...made, manifest }))
      })
      for (const [needed, version] of [
        ["", "1.0.0"],
        ["99.0.0", undefined],
        ["11.0.0", "11.0.0"],
        ["10.99.99", "11.0.0"],
        ["11.0.0-rc.1", "11.0.0"],
        ["11.0.0", "11.0.0-rc.1"],
        ["11.0.0+build", "v11"],
      ] as const) {
        assert.strictEqual((yield* needs(needed, version))._tag, "Success", `${needed} on ${version}`)
      }
      for (const [needed, version] of [
        ["11.0.1", "11.0.0"],
        ["11.10.0", "11.9.0"],
        ["12.0.0-rc.1", "11.0.0"],
        ["1.0.0", "the one of today"],
      ] as const) {
        const result = yield* needs(needed, version)
        assert.strictEqual(result._tag === "Failure" && result.failure._tag, "ServerVersionError")
        if (result._tag === "Success") continue
        assert.include(result.failure.message, `plugin my-plugin needs the host's version ${needed} or later`)
        assert.include(result.failure.message, `is ${version}; update the host`)
      }
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
