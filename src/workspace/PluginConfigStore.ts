import type { JsonObject } from "@bufbuild/protobuf"
import { Context, Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import type { PluginApiError } from "../api/PluginApi.ts"
import { PluginSettings, type SettingsByPlugin } from "../storage/PluginSettings.ts"
import { StorageLimits } from "../storage/StorageLimits.ts"
import { unreadable } from "./Rows.ts"
import { storing } from "./WorkspaceError.ts"
import { WorkspaceLimits } from "./WorkspaceLimits.ts"

/** {@link PluginSettings} as Mattermost keeps them in `PluginSettings.Plugins`, with its errors. */
export class PluginConfigStore extends Context.Service<
  PluginConfigStore,
  {
    /** A plugin's settings; none is an empty object. */
    readonly get: (pluginId: string) => Effect.Effect<JsonObject, PluginApiError>
    /** Replaces the settings of these plugins, by plugin id; those of others stay. They have been checked. */
    readonly save: (configs: SettingsByPlugin) => Effect.Effect<void, PluginApiError>
    /** The settings of every plugin that has some, by plugin id. */
    readonly all: Effect.Effect<SettingsByPlugin, PluginApiError>
  }
>()("effect-plugin-supervisor/workspace/PluginConfigStore") {
  static readonly layer: Layer.Layer<PluginConfigStore, never, SqlClient.SqlClient> = Layer.effect(
    PluginConfigStore,
    Effect.gen(function* () {
      const { pluginSettings } = yield* WorkspaceLimits
      const limits = { ...(yield* StorageLimits), settings: pluginSettings }
      const settings = yield* Effect.provideService(PluginSettings.make, StorageLimits, limits)
      return {
        get: (pluginId) =>
          settings.get(pluginId).pipe(
            Effect.catchTag("UnreadableError", (error) => Effect.fail(unreadable(error))),
            storing("PluginConfigStore.get"),
          ),
        save: (configs) =>
          settings.save(configs).pipe(
            // ServerConfig has refused them before.
            Effect.catchTag("BadSettingsError", (error) => Effect.die(error)),
            storing("PluginConfigStore.save"),
          ),
        all: settings.all.pipe(storing("PluginConfigStore.all")),
      }
    }),
  )
}
