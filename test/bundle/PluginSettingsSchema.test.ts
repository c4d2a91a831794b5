/** Settings by the manifest that declares them. */
import { assert, describe, it } from "@effect/vitest"
import type { JsonObject } from "@bufbuild/protobuf"
import type { Manifest } from "../../src/bundle/Manifest.ts"
import { MASK, setSettings, shownSettings, withDefaults } from "../../src/bundle/PluginSettingsSchema.ts"

const manifest: Manifest = {
  id: "plugin",
  name: "P",
  settings_schema: {
    settings: [
      { key: "Enabled", type: "bool", default: true },
      { key: "Level", type: "number" },
      {
        key: "Mode",
        type: "radio",
        options: [
          { display_name: "A", value: "a" },
          { display_name: "B", value: "b" },
        ],
      },
      { key: "Name", type: "text", default: "nobody" },
      { key: "Token", type: "text", secret: true },
      { key: "Anything", type: "custom" },
    ],
    sections: [{ key: "more", settings: [{ key: "Notes", type: "longtext" }] }],
  },
}

describe("settings", () => {
  it("are what is set over the manifest's defaults, by the manifest's keys", () => {
    assert.deepStrictEqual(withDefaults({ name: "Ann", other: 1 }, manifest), { Enabled: true, Name: "Ann", other: 1 })
  })

  it("are told to be wrong, each with its key", () => {
    const wrong = { Enabled: "yes", Level: "many", Mode: "c", NAME: 7, Notes: [], Anything: {}, own: [1], Token: null }
    assert.deepStrictEqual(setSettings(wrong, { own: [] }, manifest).problems, [
      { path: "Enabled", message: "expected true or false" },
      { path: "Level", message: "expected a number" },
      { path: "Mode", message: 'expected one of "a", "b"' },
      { path: "Name", message: "expected a text" },
      { path: "Notes", message: "expected a text" },
    ])
    const right = { Enabled: false, Level: "3.5", Mode: "a", Name: "" }
    assert.deepStrictEqual(setSettings(right, {}, manifest), { settings: right, problems: [] })
  })

  it("are shown without secrets, and the mask is taken for what was there", () => {
    const before = { token: "s3cret", Name: "Ann" }
    const shown = shownSettings(before, manifest)
    assert.deepStrictEqual(shown, {
      Enabled: true,
      Level: null,
      Mode: null,
      Name: "Ann",
      Token: MASK,
      Anything: null,
      Notes: null,
    })
    assert.deepInclude(shownSettings({ Token: "" }, manifest), { Token: "" })
    const stored = { Enabled: true, Token: "s3cret", Name: "Bob" }
    assert.deepStrictEqual(setSettings({ ...shown, Name: "Bob" }, before, manifest).settings, stored)
    assert.deepStrictEqual(setSettings({ Token: MASK }, {}, manifest).settings, {})
    assert.deepStrictEqual(setSettings({ Token: "new" }, before, manifest).settings, { Token: "new" })
  })

  it("are changed by names in any case, and unset by null", () => {
    const before = { token: "s3cret", NAME: "Ann", Level: 1, own: { a: 1 } }
    const change = (changes: JsonObject) => setSettings(changes, before, manifest, { isChange: true })
    assert.deepStrictEqual(change({ LEVEL: 2, TOKEN: MASK }), {
      settings: { Token: "s3cret", Name: "Ann", Level: 2, own: { a: 1 } },
      problems: [],
    })
    assert.deepStrictEqual(change({ name: null, OWN: null, Enabled: null }), {
      settings: { Token: "s3cret", Level: 1 },
      problems: [],
    })
    // What the plugin has saved is not this change's affair.
    const odd = { Level: "many", own: null }
    assert.deepStrictEqual(setSettings({ name: "Bob" }, odd, manifest, { isChange: true }), {
      settings: { ...odd, Name: "Bob" },
      problems: [],
    })
  })

  it("are none that the manifest does not declare, where it declares any", () => {
    const known = "Enabled, Level, Mode, Name, Token, Anything, Notes"
    for (const isChange of [false, true]) {
      assert.deepStrictEqual(setSettings({ Nope: null, own: 1 }, { Own: 0 }, manifest, { isChange }).problems, [
        { path: "Nope", message: `there is no such setting; there are ${known}` },
      ])
      assert.deepStrictEqual(setSettings({ level: 1, Level: 2 }, {}, manifest, { isChange }).problems, [
        { path: "Level", message: "is given as level too, which is the same setting" },
      ])
    }
    for (const settings_schema of [undefined, { header: "H" }]) {
      const undeclared = { id: "plugin", name: "P", ...(settings_schema && { settings_schema }) }
      assert.deepStrictEqual(setSettings({ any: 1 }, { other: 2 }, undeclared), { settings: { any: 1 }, problems: [] })
      assert.deepStrictEqual(setSettings({ any: 1 }, { ANY: 2 }, undeclared, { isChange: true }).settings, { ANY: 1 })
    }
  })
})
