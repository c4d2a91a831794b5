import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { parseManifest } from "../../src/bundle/Manifest.ts"

const minimal = { id: "my-plugin", name: "My plugin" }
const parse = (manifest: unknown) => parseManifest("plugin.json", JSON.stringify(manifest))
const problems = (manifest: unknown) => Effect.map(Effect.flip(parse(manifest)), (error) => error.problems)
const setting = (fields: object) => ({ ...minimal, settings_schema: { settings: [{ key: "k", ...fields }] } })

const indexed = (count: number, line: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => line(index)).join("\n")

describe("Manifest", () => {
  const accepted: ReadonlyArray<readonly [name: string, manifest: object]> = [
    ["the least", minimal],
    ["an id of 3 characters", { ...minimal, id: "abc" }],
    ["an id of 190 characters", { ...minimal, id: "x".repeat(190) }],
    ["every kind of character of an id", { ...minimal, id: "com.Example_My-plugin.9" }],
    ["empty versions and URLs", { ...minimal, version: "", min_server_version: "", homepage_url: "" }],
    ["http and https", { ...minimal, homepage_url: "http://a.b", support_url: "https://a.b/c?d" }],
    ["a generated setting", setting({ type: "generated", regenerate_help_text: "again", placeholder: "p" })],
    ["a setting without a key", { ...minimal, settings_schema: { settings: [{ type: "bool" }] } }],
    ["attributes that are set to nothing", setting({ type: "bool", placeholder: "", options: [] })],
    ["a default of any type", setting({ type: "custom", default: { deep: [1] } })],
    ["the settings of a cloud", setting({ type: "text", hosting: "cloud", secret: true })],
    ["a webapp alone", { ...minimal, webapp: { bundle_path: "webapp/dist/main.js" } }],
    ["a section", { ...minimal, settings_schema: { sections: [{ key: "s", settings: [{ type: "bool" }] }] } }],
  ]
  it.effect.each(accepted)("accepts %s", ([, manifest]) => parse(manifest))

  const refused: ReadonlyArray<readonly [name: string, manifest: object, path: string]> = [
    ["no id", { name: "x" }, "id"],
    ["an id of 2 characters", { ...minimal, id: "ab" }, "id"],
    ["an id of 191 characters", { ...minimal, id: "x".repeat(191) }, "id"],
    ["an empty id", { ...minimal, id: "" }, "id"],
    ["an id that is a number", { ...minimal, id: 123 }, "id"],
    ["no name", { id: "abc" }, "name"],
    ["a blank name", { ...minimal, name: "  " }, "name"],
    ["a name that is a list", { ...minimal, name: ["x"] }, "name"],
    ["a version that is a number", { ...minimal, version: 1 }, "version"],
    ["a server's version of two numbers", { ...minimal, min_server_version: "5.6" }, "min_server_version"],
    ["a list as server", { ...minimal, server: ["x"] }, "server"],
    ["a number as executable", { ...minimal, server: { executable: 1 } }, "server.executable"],
    [
      "a number as a platform's executable",
      { ...minimal, server: { executables: { "linux-amd64": 1 } } },
      'server.executables["linux-amd64"]',
    ],
    ["an unknown setting type", setting({ type: "colour" }), "settings_schema.settings[0].type"],
    ["a setting without a type", setting({}), "settings_schema.settings[0].type"],
    ["a setting type in capitals", setting({ type: "Bool" }), "settings_schema.settings[0].type"],
    ["an unknown hosting", setting({ type: "bool", hosting: "moon" }), "settings_schema.settings[0].hosting"],
    ["a secret that is a text", setting({ type: "text", secret: "yes" }), "settings_schema.settings[0].secret"],
    ["settings that are no list", { ...minimal, settings_schema: { settings: {} } }, "settings_schema.settings"],
    [
      "an option without a name",
      setting({ type: "dropdown", options: [{ display_name: "A", value: "a" }, { value: "b" }] }),
      "settings_schema.settings[0].options[1].display_name",
    ],
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
    [
      "a wrong setting in a section",
      {
        ...minimal,
        settings_schema: { sections: [{ key: "a" }, { key: "b", settings: [{ type: "bool", placeholder: "p" }] }] },
      },
      "settings_schema.sections[1].settings[0].placeholder",
    ],
    ["props that are no object", { ...minimal, props: [] }, "props"],
    [
      "a Python entry point that is a number",
      { ...minimal, server: { python: { entry_point: 1 } } },
      "server.python.entry_point",
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

  const forbidden = Array.from(" /\\:*?\"'<>|@#$%&+=,;!~^`()[]{}\t\n\r\0\u007füé٣ａ😀")
  it.effect.each(forbidden.map((character) => [character] as const))("allows no %j in an id", ([character]) =>
    Effect.gen(function* () {
      for (const id of [`${character}abc`, `a${character}bc`, `abc${character}`]) {
        assert.deepStrictEqual(
          (yield* problems({ ...minimal, id })).map(({ path }) => path),
          ["id"],
        )
      }
    }),
  )

  const accepts = (manifest: object) => Effect.map(Effect.result(parse(manifest)), Result.isSuccess)

  const versions: ReadonlyArray<readonly [version: string, valid: boolean]> = [
    ["0.0.0", true],
    ["10.20.30", true],
    ["1.2.3-rc.1", true],
    ["1.2.3-0.x-y", true],
    ["1.2.3-0a", true],
    ["1.2.3+build.05", true],
    ["1.2.3-rc.1+build.5", true],
    ["1", false],
    ["1.2", false],
    ["1.2.3.4", false],
    ["v1.2.3", false],
    ["1.02.3", false],
    ["1.2.x", false],
    ["-1.2.3", false],
    ["1.2.3-", false],
    ["1.2.3-rc..1", false],
    ["1.2.3-01", false],
    ["1.2.3+", false],
    ["1.2.3+a+b", false],
    [" 1.2.3", false],
    ["1.2.3\n", false],
  ]
  it.effect.each(versions)("version %j: %s", ([version, valid]) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* accepts({ ...minimal, version }), valid)
      assert.strictEqual(yield* accepts({ ...minimal, min_server_version: version }), valid)
    }),
  )

  const urls: ReadonlyArray<readonly [url: string, valid: boolean]> = [
    ["https://example.com", true],
    ["http://localhost:8065/a?b#c", true],
    ["HTTPS://EXAMPLE.COM", true],
    ["example.com", false],
    ["//example.com", false],
    ["/help", false],
    ["http://", false],
    ["https:example.com", false],
    ["http://[half", false],
    [" https://example.com", false],
    ["https://example.com\n", false],
    ["ftp://example.com", false],
    ["javascript:alert(1)", false],
    ["javascript://https://example.com", false],
    ["file:///etc/passwd", false],
    ["data:text/html,x", false],
  ]
  it.effect.each(urls)("URL %j: %s", ([url, valid]) =>
    Effect.gen(function* () {
      for (const field of ["homepage_url", "support_url", "release_notes_url"]) {
        assert.strictEqual(yield* accepts({ ...minimal, [field]: url }), valid, field)
      }
    }),
  )

  // Which attribute goes with which type of setting: R for regenerate_help_text, P for placeholder, O for options.
  const types: ReadonlyArray<readonly [type: string, attributes: string]> = [
    ["bool", ""],
    ["dropdown", "O"],
    ["generated", "RP"],
    ["radio", "O"],
    ["text", "P"],
    ["longtext", "P"],
    ["number", "P"],
    ["username", "P"],
    ["custom", "P"],
  ]
  it.effect.each(types)("the type %s goes with %j and no other attribute", ([type, attributes]) =>
    Effect.gen(function* () {
      const all = {
        regenerate_help_text: ["R", "again"],
        placeholder: ["P", "p"],
        options: ["O", [{ display_name: "A", value: "a" }]],
      } as const
      const values = Object.fromEntries(Object.entries(all).map(([name, [, value]]) => [name, value]))
      const wrong = Object.entries(all).flatMap(([name, [letter]]) => (attributes.includes(letter) ? [] : [name]))
      assert.deepStrictEqual(
        (yield* problems(setting({ type, ...values }))).map(({ path }) => path),
        wrong.map((name) => `settings_schema.settings[0].${name}`),
      )
      const right = Object.fromEntries(Object.entries(values).filter(([name]) => !wrong.includes(name)))
      yield* parse(setting({ type, ...right }))
    }),
  )

  it.effect("lower-cases the id and keeps everything else, unknown keys at every level too", () =>
    Effect.gen(function* () {
      const unknown = { mystery: [{ deep: true }] }
      const manifest = {
        ...minimal,
        ...unknown,
        id: "Com.Example.My-Plugin",
        name: " My Plugin ",
        server: { executable: "x", executables: { "plan9-mips": "y" }, python: unknown, ...unknown },
        webapp: unknown,
        props: unknown,
        settings_schema: {
          ...unknown,
          settings: [{ key: "K", type: "radio", options: [{ display_name: "A", value: "a", ...unknown }], ...unknown }],
          sections: [{ key: "s", settings: [{ type: "bool", ...unknown }], ...unknown }],
        },
      }
      assert.deepStrictEqual<unknown>(yield* parse(manifest), { ...manifest, id: "com.example.my-plugin" })
    }),
  )

  it.effect("lets a key called __proto__ stand in for no field", () =>
    Effect.gen(function* () {
      const manifest = yield* parseManifest(
        "plugin.json",
        '{"id":"abc","name":"x","server":{"__proto__":{"executable":1}},"__proto__":{"props":1}}',
      )
      assert.isUndefined(manifest.server?.executable)
      assert.isUndefined(manifest.props)
    }),
  )

  it.effect("tells all problems at once, and how to find them", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        parse({
          id: "a",
          name: "",
          version: "x",
          server: { executables: { "linux-amd64": 1, "windows-amd64": [] } },
          settings_schema: { settings: [{ type: "bool", placeholder: "p" }, { type: "colour" }] },
        }),
      )
      assert.deepStrictEqual(
        error.problems.map(({ path }) => path),
        [
          "id",
          "name",
          "version",
          'server.executables["linux-amd64"]',
          'server.executables["windows-amd64"]',
          "settings_schema.settings[0].placeholder",
          "settings_schema.settings[1].type",
        ],
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

  it.effect("takes null for nothing and keys in any case, as Go's tools write them", () =>
    Effect.gen(function* () {
      const manifest = yield* parse({
        ID: "abc",
        Name: "x",
        homepage_url: null,
        version: null,
        webapp: null,
        props: null,
        mystery: null,
        Server: {
          Executables: { "linux-amd64": null, "Linux-ARM64": "x" },
          EXECUTABLE: "y",
          runtime: null,
          python: null,
        },
        settings_schema: {
          header: null,
          sections: null,
          Settings: [
            { Key: "K", Type: "bool", help_text: null, default: null, options: null, secret: null },
            { key: "L", type: "radio", options: [{ Display_Name: "A", VALUE: "a" }] },
          ],
        },
      })
      assert.deepStrictEqual<unknown>(manifest, {
        id: "abc",
        name: "x",
        mystery: null,
        server: { executables: { "Linux-ARM64": "x" }, executable: "y" },
        settings_schema: {
          settings: [
            { key: "K", type: "bool" },
            { key: "L", type: "radio", options: [{ display_name: "A", value: "a" }] },
          ],
        },
      })
      assert.strictEqual((yield* parse({ name: "x", Id: "first", ID: "last" })).id, "last")
      assert.deepStrictEqual(
        (yield* problems({ id: null, Name: null, settings_schema: { settings: [null, { Type: null }] } })).map(
          ({ path }) => path,
        ),
        ["id", "name", "settings_schema.settings[0]", "settings_schema.settings[1].type"],
      )
    }),
  )

  // Each would hold everybody up, or could not be sent on or stored, if it were taken as it is.
  const many = 100_000
  const hostile: ReadonlyArray<readonly [name: string, file: string, text: string, problem: string]> = [
    [
      "depth",
      "plugin.json",
      `{"id":"abc","name":"x","props":{"a":${"[".repeat(many)}${"]".repeat(many)}}}`,
      "32 levels",
    ],
    ["depth", "plugin.yml", `id: abc\nname: x\nprops: ${"[".repeat(many)}`, "maxDepth"],
    ["keys", "plugin.yml", `id: abc\nname: x\nprops:\n${indexed(many, (n) => `  k${n}: 1`)}`, "20000 values"],
    ["wrong keys", "plugin.yml", `id: abc\nname: x\n${indexed(many, () => "? a")}`, "duplicated mapping key"],
    ["brackets", "plugin.yml", "]".repeat(many), "can't be read"],
    [
      "aliases",
      "plugin.yml",
      `id: abc\nname: x\na0: &a0 [x,x]\n${indexed(many / 10, (n) => `a${n + 1}: &a${n + 1} [*a${n},*a${n}]`)}`,
      "20000 values",
    ],
    ["a circle", "plugin.yml", "id: abc\nname: x\nprops: &a {b: *a}", "32 levels"],
    [
      "problems",
      "plugin.json",
      JSON.stringify(setting({ type: "radio", options: Array.from({ length: 5000 }, () => ({})) })),
      "9980 more",
    ],
    [
      "a long key",
      "plugin.json",
      JSON.stringify({ ...minimal, server: { executables: { ["x".repeat(many)]: 1 } } }),
      "…",
    ],
    ["not a number", "plugin.yml", "id: abc\nname: x\nprops: {a: [.nan]}", "props.a[0]: expected a finite number"],
    [
      "a huge number",
      "plugin.json",
      '{"id":"abc","name":"x","props":{"a":1e999}}',
      "props.a: expected a finite number",
    ],
    ["half a character", "plugin.json", '{"id":"abc","name":"\\ud83d"}', "name: expected text without half"],
    ["half a key", "plugin.json", '{"id":"abc","name":"x","props":{"\\ud83d":1}}', "props: expected keys without half"],
    ["a tag", "plugin.yml", "id: !!js/function abc", "unknown scalar tag"],
  ]
  it.effect.each(hostile)("bounds %s in a %s", ([, file, text, problem]) =>
    Effect.gen(function* () {
      const begun = performance.now()
      const error = yield* Effect.flip(parseManifest(file, text))
      // Quadratic, one of these takes minutes.
      assert.isBelow(performance.now() - begun, 10_000)
      assert.include(error.message, problem)
      assert.isBelow(error.message.length, 10_000)
    }),
  )

  it.effect("lets YAML's merge key and __proto__ be keys as any other", () =>
    Effect.gen(function* () {
      const manifest = yield* parseManifest(
        "plugin.yml",
        "id: abc\nname: x\n__proto__: {props: 1}\na: &a {server: {executable: y}}\n<<: *a\n",
      )
      assert.isUndefined(manifest.props)
      assert.isUndefined(manifest.server)
    }),
  )

  it.effect("takes versions as the comparison with the host does", () =>
    Effect.gen(function* () {
      for (const version of [`${"9".repeat(20)}.0.0`, `1.0.0-${"a".repeat(300)}`]) {
        assert.deepStrictEqual(
          (yield* problems({ ...minimal, min_server_version: version })).map(({ path }) => path),
          ["min_server_version"],
        )
      }
    }),
  )

  it.effect.each([
    ["plugin.json", ""],
    ["plugin.json", "null"],
    ["plugin.json", "[]"],
    ["plugin.json", '"text"'],
    ["plugin.json", '{"id":"abc","name":"x"} {}'],
    ["plugin.yml", ""],
    ["plugin.yml", "just text"],
    ["plugin.yml", "id: abc\nid: abd\nname: x\n"],
    ["plugin.yml", "id: abc\nname: x\n---\nid: abd\n"],
    ["plugin.yml", "id: abc\nname: x\nversion: 1.0\n"],
  ] as const)("refuses the %s %j", ([file, text]) =>
    Effect.map(Effect.flip(parseManifest(file, text)), (error) => {
      assert.strictEqual(error.file, file)
      assert.isNotEmpty(error.problems)
    }),
  )
})
