import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HostEnvironment } from "../../src/command/HostEnvironment.ts"
import { PythonInterpreter } from "../../src/command/PythonInterpreter.ts"
import { folder, type Node } from "../support/folder.ts"

const exe = { executable: "#!/bin/sh\n" }

/** Looks for an interpreter in a bundle with these files, on a host with this platform and PATH. */
const find = Effect.fnUntraced(function* (
  files: { readonly [path: string]: Node },
  PATH: string | undefined,
  platform: "linux" | "win32" = "linux",
  name = "PATH",
  venv?: string,
) {
  const bundle = yield* folder({ "plugin.py": "", ...files })
  const layer = PythonInterpreter.layer.pipe(
    Layer.provide(Layer.succeed(HostEnvironment, { platform: { platform, arch: "x64" }, variables: { [name]: PATH } })),
    Layer.provide(NodeServices.layer),
  )
  const found = yield* Effect.result(
    Effect.provide(
      Effect.flatMap(PythonInterpreter, (service) =>
        service.find(bundle, venv === undefined ? undefined : join(bundle, venv)),
      ),
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
  expects(
    "passes over a plain file of a venv's name",
    { venv: "elsewhere", ".venv/bin/python": exe },
    ".venv/bin/python",
  )
  expects("passes over folders", { "venv/bin/python": { folder: true }, "venv/bin/python3": exe }, "venv/bin/python3")
  expects("knows the layout of Windows", { "venv/Scripts/python.exe": "" }, "venv/Scripts/python.exe", "win32")
  expects("knows .venv on Windows", { ".venv/Scripts/python.exe": "" }, ".venv/Scripts/python.exe", "win32")

  const broken: ReadonlyArray<readonly [what: string, files: { readonly [path: string]: Node }, named: string]> = [
    ["python is gone", { ".venv/bin/python": { link: "/opt/gone/python3" } }, "/opt/gone/python3) doesn't exist"],
    [
      "python leads in a circle",
      { ".venv/bin/python": { link: "python" } },
      "/.venv/bin/python (a link to python) can't",
    ],
    ["python is not executable", { ".venv/bin/python": "" }, "/.venv/bin/python is not executable"],
    ["python is a folder", { ".venv/bin/python": { folder: true } }, "/.venv/bin/python is no file"],
    ["there is none in it", { "venv/pyvenv.cfg": "" }, "/venv/bin/python doesn't exist, "],
    ["it was made for Windows", { "venv/Scripts/python.exe": exe }, "/venv/bin/python3 doesn't exist"],
    ["the environment is gone", { ".venv": { link: "/opt/gone" } }, "/.venv (a link to /opt/gone) can't run"],
    ["another one would do", { "venv/bin/python": "", ".venv/bin/python": exe }, "/venv/bin/python is not executable"],
  ]
  it.effect.each(broken)("takes no other Python in place of a broken environment's: %s", ([, files, named]) =>
    Effect.gen(function* () {
      const system = yield* folder({ python3: exe })
      const { found } = yield* find(files, system)
      assert.isTrue(found._tag === "Failure")
      if (found._tag === "Success") return
      assert.strictEqual(found.failure._tag, "BrokenVenvError")
      assert.include(found.failure.message, named)
      assert.include(found.failure.message, "make it anew (python3 -m venv")
    }).pipe(Effect.scoped),
  )

  it.effect("looks into the environment that it is given, and nowhere else", () =>
    Effect.gen(function* () {
      const system = yield* folder({ python3: exe })
      const files = { "env/bin/python": exe, "venv/bin/python": exe, "empty/x": "" }
      const { bundle, found } = yield* find(files, system, "linux", "PATH", "env")
      assert.strictEqual(found._tag === "Success" && found.success, join(bundle, "env/bin/python"))
      const { found: none } = yield* find(files, system, "linux", "PATH", "empty")
      assert.strictEqual(none._tag === "Failure" && none.failure._tag, "BrokenVenvError")
    }).pipe(Effect.scoped),
  )

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

  it.effect("takes the bundle's own before any on the PATH", () =>
    Effect.gen(function* () {
      const system = yield* folder({ python3: exe })
      const { bundle, found } = yield* find({ ".venv/bin/python3": exe }, system)
      assert.strictEqual(found._tag === "Success" && found.success, join(bundle, ".venv/bin/python3"))
    }).pipe(Effect.scoped),
  )

  it.effect("passes over folders and what can't be executed on the PATH", () =>
    Effect.gen(function* () {
      const first = yield* folder({ python3: "" })
      const second = yield* folder({ python3: { folder: true } })
      const third = yield* folder({ python3: exe })
      const { found } = yield* find({}, [first, second, third].join(":"))
      assert.strictEqual(found._tag === "Success" && found.success, join(third, "python3"))
    }).pipe(Effect.scoped),
  )

  it.effect("looks on Windows' Path, in any case, for python3.exe", () =>
    Effect.gen(function* () {
      const system = yield* folder({ python3: "", "python3.exe": "" })
      for (const name of ["PATH", "Path"]) {
        const { found } = yield* find({}, `relative;;${system}`, "win32", name)
        assert.strictEqual(found._tag === "Success" && found.success, join(system, "python3.exe"))
      }
      const { found } = yield* find({}, system, "linux", "Path")
      assert.isTrue(found._tag === "Failure")
    }).pipe(Effect.scoped),
  )

  it.effect("does without a PATH, and tells where it looked on Windows", () =>
    Effect.gen(function* () {
      const { bundle, found } = yield* find({}, undefined, "win32")
      assert.deepStrictEqual(
        found._tag === "Failure" && found.failure._tag === "PythonNotFoundError" && found.failure.tried,
        ["venv", ".venv"].map((venv) => join(bundle, venv)),
      )
    }).pipe(Effect.scoped),
  )

  it.effect("takes nothing from relative or empty entries of the PATH, and lists what it tried", () =>
    Effect.gen(function* () {
      const { bundle, found } = yield* find({ "bin/python3": exe, python3: exe }, `:.:bin:relative/folder:/nowhere`)
      assert.isTrue(found._tag === "Failure" && found.failure._tag === "PythonNotFoundError")
      if (found._tag === "Failure" && found.failure._tag === "PythonNotFoundError") {
        assert.deepStrictEqual(found.failure.tried, [
          join(bundle, "venv"),
          join(bundle, ".venv"),
          "/nowhere/python3",
          "/nowhere/python",
        ])
        assert.include(found.failure.message, "python3 -m venv .venv")
      }
    }).pipe(Effect.scoped),
  )
})
