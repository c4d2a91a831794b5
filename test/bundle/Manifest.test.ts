import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { parseManifest } from "../../src/bundle/Manifest.ts"

const minimal = { id: "my-plugin", name: "My plugin" }
const parse = (manifest: unknown) => parseManifest("plugin.json", JSON.stringify(manifest))
const problems = (manifest: unknown) => Effect.map(Effect.flip(parse(manifest)), (error) => error.problems)
const setting = (fields: object) => ({ ...minimal, settings_schema: { settings: [{ key: "k", ...fields }] } })

describe("Manifest", () => {
  const accepted: ReadonlyArray<readonly [name: string, manifest: object]> = [
    ["the least", minimal],
    ["an id of 3 characters", { ...minimal, id: "abc" }],
    ["an id of 190 characters", { ...minimal, id: "x".repeat(190) }],
    ["every kind of character of an id", { ...minimal, id: "com.Example_My-plugin.9" }],
    ["empty versions and URLs", { ...minimal, version: "", min_server_version: "", homepage_url: "" }],
    ["a pre-release", { ...minimal, version: "1.2.3-rc.1+build.5" }],
    ["http and https", { ...minimal, homepage_url: "http://a.b", support_url: "https://a.b/c?d" }],
    ["a generated setting", setting({ type: "generated", regenerate_help_text: "again", placeholder: "p" })],
    ["a radio setting", setting({ type: "radio", options: [{ display_name: "A", value: "a" }] })],
    ["a section", { ...minimal, settings_schema: { sections: [{ key: "s", settings: [{ type: "bool" }] }] } }],
  ]
  it.effect.each(accepted)("accepts %s", ([, manifest]) => parse(manifest))

  const refused: ReadonlyArray<readonly [name: string, manifest: object, path: string]> = [
    ["no id", { name: "x" }, "id"],
    ["an id of 2 characters", { ...minimal, id: "ab" }, "id"],
    ["an id of 191 characters", { ...minimal, id: "x".repeat(191) }, "id"],
    ["a space in an id", { ...minimal, id: "a b c" }, "id"],
    ["a slash in an id", { ...minimal, id: "a/b" }, "id"],
    ["an umlaut in an id", { ...minimal, id: "plügin" }, "id"],
    ["a line break after an id", { ...minimal, id: "abc\n" }, "id"],
    ["an id that is a number", { ...minimal, id: 123 }, "id"],
    ["no name", { id: "abc" }, "name"],
    ["a blank name", { ...minimal, name: "  " }, "name"],
    ["a version of two numbers", { ...minimal, version: "1.2" }, "version"],
    ["a version with a v", { ...minimal, version: "v1.2.3" }, "version"],
    ["a leading zero", { ...minimal, min_server_version: "1.02.3" }, "min_server_version"],
    ["a ftp URL", { ...minimal, homepage_url: "ftp://a.b" }, "homepage_url"],
    ["a script URL", { ...minimal, support_url: "javascript:alert(1)" }, "support_url"],
    ["no URL", { ...minimal, release_notes_url: "a.b" }, "release_notes_url"],
    ["a list as server", { ...minimal, server: ["x"] }, "server"],
    ["a number as executable", { ...minimal, server: { executable: 1 } }, "server.executable"],
    [
      "a number as a platform's executable",
      { ...minimal, server: { executables: { "linux-amd64": 1 } } },
      'server.executables["linux-amd64"]',
    ],
    ["an unknown setting type", setting({ type: "colour" }), "settings_schema.settings[0].type"],
    ["a placeholder of a bool", setting({ type: "bool", placeholder: "p" }), "settings_schema.settings[0]"],
    [
      "options of a text",
      setting({ type: "text", options: [{ display_name: "A", value: "a" }] }),
      "settings_schema.settings[0]",
    ],
    ["regenerating a text", setting({ type: "text", regenerate_help_text: "r" }), "settings_schema.settings[0]"],
    [
      "an option without a value",
      setting({ type: "radio", options: [{ display_name: "A", value: "" }] }),
      "settings_schema.settings[0].options[0].value",
    ],
    [
      "a section without a key",
      { ...minimal, settings_schema: { sections: [{ key: "" }] } },
      "settings_schema.sections[0].key",
    ],
  ]
  it.effect.each(refused)("refuses %s", ([, manifest, path]) =>
    Effect.map(problems(manifest), (found) =>
      assert.deepStrictEqual(
        found.map((problem) => problem.path),
        [path],
      ),
    ),
  )

  it.effect("lower-cases the id and keeps unknown keys at every level", () =>
    Effect.gen(function* () {
      const manifest = yield* parse({
        ...minimal,
        id: "My-Plugin",
        mystery: 1,
        server: { executable: "x", other: { deep: true } },
      })
      assert.strictEqual(manifest.id, "my-plugin")
      assert.strictEqual(manifest["mystery"], 1)
      assert.deepStrictEqual(manifest.server?.["other"], { deep: true })
    }),
  )

  it.effect("tells all problems at once, and how to find them", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(parse({ id: "a", name: "", version: "x" }))
      assert.deepStrictEqual(
        error.problems.map(({ path }) => path),
        ["id", "name", "version"],
      )
      assert.include(error.message, "plugin.json")
      assert.include(error.message, "version: expected a version such as 1.2.3")
    }),
  )

  it.effect("reads YAML by the same rules, and refuses what is neither", () =>
    Effect.gen(function* () {
      const manifest = yield* parseManifest("plugin.yaml", "id: my-plugin\nname: Mine\nserver:\n  executable: run.py\n")
      assert.strictEqual(manifest.server?.executable, "run.py")
      const broken = yield* Effect.flip(parseManifest("plugin.yml", "id: [unclosed"))
      assert.include(broken.message, "plugin.yml")
      const json = yield* Effect.flip(parseManifest("plugin.json", "{"))
      assert.include(json.message, "can't be read")
    }),
  )
})
