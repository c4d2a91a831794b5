import { Effect, Schema } from "effect"
import type { PluginApiError } from "../api/PluginApi.ts"
import type { PluginConfigs } from "./PluginConfigStore.ts"
import { invalid } from "./WorkspaceError.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** JSON as the contract has it. */
export const jsonBytes = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value))

/** The part of Mattermost's configuration that the workspace has an opinion on. */
export const serverConfig = (siteUrl: string, plugins: PluginConfigs): { readonly configJson: Uint8Array } => ({
  configJson: jsonBytes({
    ServiceSettings: { SiteURL: siteUrl },
    PluginSettings: { Enable: true, Plugins: plugins },
  }),
})

const Config = Schema.fromJsonString(
  Schema.Struct({
    PluginSettings: Schema.Struct({
      Plugins: Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.MutableJson)),
    }),
  }),
)
const decode = Schema.decodeUnknownEffect(Config)

/** The plugins' settings in a configuration that plugins have had in their hands; nothing else of it is the workspace's. */
export const pluginConfigsOf = (configJson: Uint8Array): Effect.Effect<PluginConfigs, PluginApiError> =>
  Effect.mapBoth(decode(decoder.decode(configJson)), {
    onSuccess: ({ PluginSettings }) => PluginSettings.Plugins,
    onFailure: (error) =>
      invalid("app.save_config.plugin_hook_error", `A plugin has made the configuration unusable: ${error.message}`),
  })
