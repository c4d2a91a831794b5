import type { JsonObject } from "@bufbuild/protobuf"
import { Effect, Layer } from "effect"
import type { PluginApiError } from "../api/PluginApi.ts"
import { BadSettingsError, PluginSettings } from "../storage/PluginSettings.ts"
import { StorageError } from "../storage/StorageError.ts"
import { Workspace } from "./Workspace.ts"

const storageError = (operation: string) => (error: PluginApiError) =>
  new StorageError({ operation, reason: error.message, isRetryable: error.statusCode === 503 })

/**
 * The settings of a workspace's plugins, for operators: saved as the workspace saves them, which asks its plugins
 * (`ConfigurationWillBeSaved`) and tells them.
 */
export const workspacePluginSettings: Layer.Layer<PluginSettings, never, Workspace> = Layer.effect(
  PluginSettings,
  Effect.map(Workspace, ({ pluginConfigs, savePluginConfig }) => {
    const save = (pluginId: string, settings: JsonObject) =>
      Effect.mapError(savePluginConfig(pluginId, settings), (error) =>
        error._tag === "HookRejectedError" || error.statusCode < 500
          ? new BadSettingsError({ pluginId, reason: error.message })
          : storageError("PluginSettings.save")(error),
      )
    return {
      get: (pluginId) => Effect.mapError(pluginConfigs.get(pluginId), storageError("PluginSettings.get")),
      // Each is a change of the configuration, which plugins may have a word in.
      save: (settings) =>
        Effect.forEach(Object.entries(settings), ([id, values]) => save(id, values), { discard: true }),
      all: Effect.mapError(pluginConfigs.all, storageError("PluginSettings.all")),
    }
  }),
)
