import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HostEnvironment } from "../../src/command/HostEnvironment.ts"
import { PythonInterpreter } from "../../src/command/PythonInterpreter.ts"
import { folder, type Node } from "../support/folder.ts"

const exe = { executable: "#!/bin/sh\n" }

/** Looks for an interpreter in a bundle with these files, on a host with this platform and PATH. */
const find = Effect.fnUntraced(function* (
  files: { readonly [path: string]: Node },
  PATH: string,
  platform: "linux" | "win32" = "linux",
) {
  const bundle = yield* folder({ "plugin.py": "", ...files })
  const layer = PythonInterpreter.layer.pipe(
    Layer.provide(Layer.succeed(HostEnvironment, { platform: { platform, arch: "x64" }, variables: { PATH } })),
    Layer.provide(NodeServices.layer),
  )
  const found = yield* Effect.result(
    Effect.provide(
      Effect.flatMap(PythonInterpreter, (service) => service.find(bundle)),
      layer,
    ),
  )
  return { bundle, found }
})

const expects = (
  name: string,
  files: { readonly [path: string]: Node },
  expected: string,
  platform?: "linux" | "win32",
) =>
  it.effect(name, () =>
    Effect.gen(function* () {
      const { bundle, found } = yield* find(files, "", platform)
      assert.strictEqual(found._tag === "Success" ? found.success : found.failure.message, join(bundle, expected))
    }).pipe(Effect.scoped),
  )

describe("PythonInterpreter", () => {
  expects("prefers venv to .venv", { "venv/bin/python": exe, ".venv/bin/python": exe }, "venv/bin/python")
  expects("prefers python to python3", { "venv/bin/python": exe, "venv/bin/python3": exe }, "venv/bin/python")
  expects("takes python3 where there is no python", { "venv/bin/python3": exe }, "venv/bin/python3")
  expects("takes .venv where there is no venv", { ".venv/bin/python3": exe }, ".venv/bin/python3")
  expects("passes over what can't be executed", { "venv/bin/python": "", ".venv/bin/python": exe }, ".venv/bin/python")
  expects("passes over folders", { "venv/bin/python": { folder: true }, "venv/bin/python3": exe }, "venv/bin/python3")
  expects(
    "passes over dangling links",
    { "venv/bin/python": { link: "gone" }, ".venv/bin/python": exe },
    ".venv/bin/python",
  )
  expects("knows the layout of Windows", { "venv/Scripts/python.exe": "" }, "venv/Scripts/python.exe", "win32")
  expects("knows .venv on Windows", { ".venv/Scripts/python.exe": "" }, ".venv/Scripts/python.exe", "win32")

  it.effect("follows a venv's link out of the bundle, as a venv's python is", () =>
    Effect.gen(function* () {
      const system = yield* folder({ python: exe })
      const { bundle, found } = yield* find({ "venv/bin/python": { link: join(system, "python") } }, "")
      assert.strictEqual(found._tag === "Success" && found.success, join(bundle, "venv/bin/python"))
    }).pipe(Effect.scoped),
  )

  it.effect("looks on the PATH for python3 in every folder before python", () =>
    Effect.gen(function* () {
      const first = yield* folder({ python: exe })
      const second = yield* folder({ python3: exe, python: exe })
      const { found } = yield* find({}, `${first}:${second}`)
      assert.strictEqual(found._tag === "Success" && found.success, join(second, "python3"))
      const { found: other } = yield* find({}, first)
      assert.strictEqual(other._tag === "Success" && other.success, join(first, "python"))
    }).pipe(Effect.scoped),
  )

  it.effect("takes nothing from relative or empty entries of the PATH, and lists what it tried", () =>
    Effect.gen(function* () {
      const { bundle, found } = yield* find({ "bin/python3": exe, python3: exe }, `:.:bin:relative/folder:/nowhere`)
      assert.isTrue(found._tag === "Failure")
      if (found._tag === "Failure") {
        assert.deepStrictEqual(found.failure.tried, [
          ...["venv/bin/python", "venv/bin/python3", ".venv/bin/python", ".venv/bin/python3"].map((name) =>
            join(bundle, name),
          ),
          "/nowhere/python3",
          "/nowhere/python",
        ])
        assert.include(found.failure.message, "python3 -m venv .venv")
      }
    }).pipe(Effect.scoped),
  )
})
