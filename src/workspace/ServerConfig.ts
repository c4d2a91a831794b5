import { Effect, Equal, Schema } from "effect"
import { invalidRequest, PluginApiError } from "../api/PluginApi.ts"
import { jsonProblem } from "../rpc/MessageCheck.ts"
import type { SettingsByPlugin } from "../storage/PluginSettings.ts"
import { invalid } from "./WorkspaceError.ts"
import { MAX_ALL_SETTINGS_BYTES } from "./WorkspaceLimits.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** JSON as the contract has it. */
export const jsonBytes = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value))

/** The part of Mattermost's configuration that the workspace has an opinion on. */
export const serverConfig = (siteUrl: string, plugins: SettingsByPlugin): { readonly configJson: Uint8Array } => ({
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

/**
 * The plugins' settings in a configuration that plugins have had in their hands; nothing else of it is the
 * workspace's.
 */
export const pluginConfigsOf = (configJson: Uint8Array): Effect.Effect<SettingsByPlugin, PluginApiError> =>
  Effect.mapBoth(decode(decoder.decode(configJson)), {
    // Ids are in lower case, as in a manifest.
    onSuccess: ({ PluginSettings }) =>
      Object.fromEntries(
        Object.entries(PluginSettings.Plugins)
          .sort(byName)
          .map(([id, settings]) => [id.toLowerCase(), settings]),
      ),
    onFailure: (error) =>
      invalid("app.save_config.plugin_hook_error", `A plugin has made the configuration unusable: ${error.message}`),
  })

/** Upper case first, so that of two spellings the one in lower case is the last. */
const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]) => (a < b ? -1 : 1)

const bytesOf = (json: unknown): number => Buffer.byteLength(JSON.stringify(json))

/**
 * Fails for settings that could not be stored, or read again: of each plugin whose settings are new, and of all
 * together. What was stored by a version without these limits may stay.
 */
export const checkPluginConfigs = (
  before: SettingsByPlugin,
  wanted: SettingsByPlugin,
  limit: number,
): Effect.Effect<void, PluginApiError> =>
  Effect.gen(function* () {
    for (const [id, settings] of Object.entries(wanted)) {
      if (Equal.equals(settings, before[id])) continue
      const problem = jsonProblem(settings)
      if (problem !== undefined) yield* invalidRequest({ ...problem, path: `config.${problem.path}` })
      if (bytesOf(settings) > limit) yield* tooLarge(`The settings of ${id}`, limit)
    }
    const total = bytesOf(wanted)
    if (total > MAX_ALL_SETTINGS_BYTES && total > bytesOf(before)) {
      yield* tooLarge("The settings of all plugins together", MAX_ALL_SETTINGS_BYTES)
    }
  })

const tooLarge = (what: string, limit: number) =>
  new PluginApiError({
    id: "app.save_config.too_large.app_error",
    message: `${what} have up to ${limit} bytes as JSON`,
    statusCode: 413,
  })
