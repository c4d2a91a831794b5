import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { Manifest } from "../../src/bundle/Manifest.ts"
import { lowerCaseSettings, oneSpelling } from "../../src/bundle/PluginSettingsSchema.ts"
import { pluginConfigsOf, jsonBytes } from "../../src/workspace/ServerConfig.ts"
import { Workspace } from "../../src/workspace/Workspace.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { WorkspacePluginApi } from "../../src/workspace/WorkspacePluginApi.ts"

const manifest: Manifest = {
  id: "plugin",
  name: "P",
  settings_schema: {
    settings: [
      { key: "ApiToken", type: "text" },
      { key: "level", type: "number", default: 3 },
    ],
  },
}

/** All orders of some things. */
const orders = <A>(things: ReadonlyArray<A>): ReadonlyArray<ReadonlyArray<A>> =>
  things.length < 2
    ? [things]
    : things.flatMap((first, index) => orders(things.toSpliced(index, 1)).map((rest) => [first].concat(rest)))

describe("a key with several spellings", () => {
  it("is the one of the manifest, or else the same one always", () => {
    const entries = [
      ["apitoken", "stale"],
      ["ApiToken", "new"],
      ["APITOKEN", "older"],
      ["Other", 1],
      ["other", 2],
      ["LEVEL", 7],
    ] as const
    for (const order of orders(entries)) {
      const config = Object.fromEntries(order)
      assert.deepStrictEqual(oneSpelling(config, manifest), { ApiToken: "new", Other: 1, LEVEL: 7 })
      const undeclared = { id: "plugin", name: "P" }
      assert.deepStrictEqual(oneSpelling(config, undeclared), { APITOKEN: "older", Other: 1, LEVEL: 7 })
      assert.deepStrictEqual(lowerCaseSettings(config, manifest), { apitoken: "new", other: 1, level: 7 })
    }
  })

  it.effect("is stored in one, and loaded from whatever was stored before", () =>
    Effect.gen(function* () {
      const caller = { pluginId: "plugin", bundlePath: "/nowhere", manifest }
      const { loadPluginConfiguration, savePluginConfig } = yield* MattermostPlugins.Api
      const { pluginConfigs, savePluginConfig: save } = yield* Workspace
      for (const config of [
        { ApiToken: "new", apitoken: "stale" },
        { apitoken: "stale", ApiToken: "new" },
      ]) {
        yield* savePluginConfig({ config } as never, caller)
        assert.deepStrictEqual(yield* pluginConfigs.get("plugin"), { ApiToken: "new" })
        yield* save("plugin", config)
        const { configJson } = yield* loadPluginConfiguration({} as never, caller)
        assert.deepStrictEqual(JSON.parse(new TextDecoder().decode(configJson)), { level: 3, apitoken: "new" })
      }
    }).pipe(
      Effect.scoped,
      Effect.provide(
        WorkspacePluginApi.layer.pipe(
          Layer.provideMerge(Workspace.layerTest),
          Layer.provideMerge(MattermostPlugins.layer),
        ),
      ),
    ),
  )
})

describe("a configuration that plugins hand back", () => {
  it.effect("names each plugin by its id, in whatever case", () =>
    Effect.gen(function* () {
      const handedBack = { PluginSettings: { Plugins: { "Com.Example": { a: 1 }, b: {}, B: { stale: true } } } }
      assert.deepStrictEqual(yield* pluginConfigsOf(jsonBytes(handedBack)), { "com.example": { a: 1 }, b: {} })
    }),
  )
})
