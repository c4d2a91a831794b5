/** Settings by the manifest that declares them. */
import { assert, describe, it } from "@effect/vitest"
import type { Manifest } from "../../src/bundle/Manifest.ts"
import { MASK, masked, settingsProblems, unmasked, withDefaults } from "../../src/bundle/PluginSettingsSchema.ts"

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
    assert.deepStrictEqual(settingsProblems(wrong, manifest), [
      { path: "Enabled", message: "expected true or false" },
      { path: "Level", message: "expected a number" },
      { path: "Mode", message: 'expected one of "a", "b"' },
      { path: "NAME", message: "expected a text" },
      { path: "Notes", message: "expected a text" },
    ])
    assert.deepStrictEqual(settingsProblems({ Enabled: false, Level: "3.5", Mode: "a", Name: "" }, manifest), [])
  })

  it("show no secret, and take the mask for what was there", () => {
    const settings = { token: "s3cret", Name: "Ann" }
    const shown = masked(settings, manifest)
    assert.deepStrictEqual(shown, { token: MASK, Name: "Ann" })
    assert.deepStrictEqual(masked({ Token: "" }, manifest), { Token: "" })
    assert.deepStrictEqual(unmasked({ ...shown, Name: "Bob" }, settings), { token: "s3cret", Name: "Bob" })
    assert.deepStrictEqual(unmasked({ Token: MASK }, {}), {})
    assert.deepStrictEqual(unmasked({ Token: "new" }, settings), { Token: "new" })
  })
})
