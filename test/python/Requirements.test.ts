import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { PathSanitizer } from "../../src/bundle/PathSanitizer.ts"
import { makeReader, namesAny } from "../../src/python/Requirements.ts"
import type { Node } from "../support/folder.ts"
import { bundleOf } from "./support.ts"

const services = Layer.provideMerge(PathSanitizer.layer, NodeServices.layer)
const read = (files: { readonly [path: string]: Node }, hasUv = true) =>
  Effect.gen(function* () {
    const reader = yield* makeReader
    return yield* reader(yield* bundleOf(files), hasUv)
  }).pipe(Effect.provide(services))

const PROJECT = '[project]\nname = "x"\nversion = "1"\ndependencies = ["a>=1", "b[c]; python_version > \'3.8\'"]\n'

describe("Requirements", () => {
  const kinds: ReadonlyArray<readonly [kind: string, files: ReadonlyArray<string>, hasUv?: boolean]> = [
    ["none", []],
    ["wheels", ["wheels/a-1-py3-none-any.whl"]],
    ["pyproject.toml", ["pyproject.toml", "wheels/a-1-py3-none-any.whl"]],
    ["requirements.txt", ["pyproject.toml", "requirements.txt"]],
    ["pylock.toml", ["pyproject.toml", "requirements.txt", "pylock.toml"]],
    ["requirements.txt", ["pyproject.toml", "requirements.txt", "pylock.toml"], false],
    ["uv.lock", ["pyproject.toml", "uv.lock", "pylock.toml"]],
  ]
  it.effect.each(kinds)("are those of %s, of %j", ([kind, files, hasUv]) =>
    Effect.gen(function* () {
      const found = yield* read(
        Object.fromEntries(files.map((name) => [name, name === "pyproject.toml" ? PROJECT : "a"])),
        hasUv,
      )
      assert.strictEqual(found.kind, kind)
    }).pipe(Effect.scoped),
  )

  it.effect("are none where a pyproject.toml is for other tools", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* read({ "pyproject.toml": "[tool.x]\n" })).kind, "none")
    }).pipe(Effect.scoped),
  )

  it.effect("are a project's dependencies, without building it", () =>
    Effect.gen(function* () {
      const { files, isLocked } = yield* read({ "pyproject.toml": PROJECT })
      assert.deepStrictEqual(
        files.map(({ content, path }) => [path, "text" in content && content.text]),
        [["requirements.txt", "a>=1\nb[c]; python_version > '3.8'\n"]],
      )
      assert.isFalse(isLocked)
    }).pipe(Effect.scoped),
  )

  it.effect("have all that they refer to", () =>
    Effect.gen(function* () {
      const { files, isLocked } = yield* read({
        "requirements.txt":
          "--requirement=sub/a.txt\n-c limits.txt\n./libs/x-1-py3-none-any.whl \\\n  --hash=sha256:00\nname @ https://example.org/name.zip\n# -r not.txt\n",
        "sub/a.txt": "-r ../requirements.txt\n-rb.txt\n",
        "sub/b.txt": "-i https://example.org/simple\n",
        "limits.txt": "",
        "libs/x-1-py3-none-any.whl": "x",
        "wheels/y-1-py3-none-any.whl": "y",
        "wheels/README": "",
      })
      const expected = ["libs/x-1-py3-none-any.whl", "limits.txt", "requirements.txt", "sub/a.txt", "sub/b.txt"]
      assert.deepStrictEqual(files.map(({ path }) => path).toSorted(), [...expected, "wheels/y-1-py3-none-any.whl"])
      assert.isTrue(isLocked)
    }).pipe(Effect.scoped),
  )

  const refused: ReadonlyArray<readonly [message: string, files: { readonly [path: string]: Node }]> = [
    [
      "plugin my-plugin: requirements.txt has -e ., and an editable install would write into",
      { "requirements.txt": "-e ." },
    ],
    ["../other.txt can't be read: the path", { "requirements.txt": "-r ../other.txt" }],
    ["none.txt can't be read: the path", { "requirements.txt": "-r none.txt" }],
    ["can't be read: the path", { "requirements.txt": "x @ file:///etc/passwd" }],
    ["is absolute", { "requirements.txt": "/etc/hostname" }],
    ["lib is no file", { "requirements.txt": "./lib", "lib/setup.py": "" }],
    ["requirements.txt is no file", { "requirements.txt": { folder: true } }],
    ["leads outside of the bundle", { "requirements.txt": { link: "/etc/passwd" } }],
    ["has more than", { "requirements.txt": "a\n".repeat(3_000_000) }],
    ["pyproject.toml can't be read", { "pyproject.toml": "[project" }],
    ["leaves its dependencies to a build", { "pyproject.toml": '[project]\nname="x"\ndynamic=["dependencies"]\n' }],
    ["no list of requirements", { "pyproject.toml": '[project]\nname="x"\ndependencies="a"\n' }],
    ["plugin my-plugin: pyproject.toml", { "pyproject.toml": '[project]\nname="x"\ndependencies=["x @ file:../y"]\n' }],
    ["pyproject.toml can't be read", { "uv.lock": "" }],
    ["leads outside of the bundle", { "wheels/a-1-py3-none-any.whl": { link: "/etc/passwd" } }],
  ]
  it.effect.each(refused)("are refused: %s", ([message, files]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(read(files))
      assert.strictEqual(error._tag, "PythonRequirementsError")
      assert.include(error.message, message)
    }).pipe(Effect.scoped),
  )

  it.effect("name a distribution in any of its spellings, and none that has it in its own name", () =>
    Effect.gen(function* () {
      for (const [text, expected] of [
        ["my_dist>=1", true],
        ["My.Dist[x] @ https://example.org/x.whl", true],
        ["./wheels/my_dist-1.0-py3-none-any.whl", true],
        ["other # my-dist", false],
        ["my-dist-extra\nnot-my-dist\nmy-distance", false],
      ] as const) {
        const found = yield* read({ "requirements.txt": text, "wheels/my_dist-1.0-py3-none-any.whl": "" })
        assert.strictEqual(namesAny(found, ["my-dist"]), expected, text)
      }
    }).pipe(Effect.scoped),
  )

  it.effect("change with each file", () =>
    Effect.gen(function* () {
      const hashes = (files: { readonly [path: string]: Node }) =>
        Effect.map(read(files), ({ files }) => files.map(({ sha256 }) => sha256).join())
      const base = { "requirements.txt": "-r a.txt", "a.txt": "a", "wheels/w-1-py3-none-any.whl": "w" }
      const same = yield* hashes(base)
      assert.strictEqual(yield* hashes({ ...base, "plugin.py": "print()", "README.md": "" }), same)
      for (const name of Object.keys(base)) {
        assert.notStrictEqual(
          yield* hashes({ ...base, [name]: `${base[name as keyof typeof base]} # other` }),
          same,
          name,
        )
      }
    }).pipe(Effect.scoped),
  )
})
