import type { JsonObject } from "@bufbuild/protobuf"
import { Context, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { PluginApiError } from "../api/PluginApi.ts"
import { describeProblem, jsonProblem } from "../rpc/MessageCheck.ts"
import { rowReader } from "./Rows.ts"
import { storing } from "./WorkspaceError.ts"

/** Settings by plugin id. */
export interface PluginConfigs {
  readonly [pluginId: string]: JsonObject
}

/** The plugins' settings, as Mattermost keeps them in `PluginSettings.Plugins`. */
export class PluginConfigStore extends Context.Service<
  PluginConfigStore,
  {
    /** A plugin's settings; none is an empty object. */
    readonly get: (pluginId: string) => Effect.Effect<JsonObject, PluginApiError>
    /** Replaces the settings of these plugins, by plugin id; those of others stay. */
    readonly save: (configs: PluginConfigs) => Effect.Effect<void, PluginApiError>
    /** The settings of every plugin that has some, by plugin id. */
    readonly all: Effect.Effect<PluginConfigs, PluginApiError>
  }
>()("effect-plugin-supervisor/workspace/PluginConfigStore") {
  static readonly layer: Layer.Layer<PluginConfigStore, never, SqlClient.SqlClient> = Layer.effect(
    PluginConfigStore,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      return {
        get: (pluginId) =>
          sql`SELECT plugin_id AS id, config FROM plugin_configs WHERE plugin_id = ${pluginId}`.pipe(
            Effect.flatMap(rows.first),
            Effect.map((row) => row?.config ?? {}),
            storing("PluginConfigStore.get"),
          ),
        save: (configs) =>
          Effect.forEach(
            Object.entries(configs),
            ([id, config]) =>
              sql`INSERT INTO plugin_configs ${sql.insert({ plugin_id: id, config: JSON.stringify(config) })}
                ON CONFLICT (plugin_id) DO UPDATE SET config = excluded.config`,
            { discard: true },
          ).pipe(sql.withTransaction, storing("PluginConfigStore.save")),
        all: sql`SELECT plugin_id AS id, config FROM plugin_configs ORDER BY plugin_id`.pipe(
          Effect.flatMap(rows.all),
          Effect.map((found) => Object.fromEntries(found.map(({ config, id }) => [id, config]))),
          storing("PluginConfigStore.all"),
        ),
      }
    }),
  )
}

/** JSON that can be sent on; versions before that was looked at may have stored other. */
const Config = Schema.Record(Schema.String, Schema.MutableJson).check(
  Schema.makeFilter((config) => {
    const problem = jsonProblem(config)
    return problem === undefined ? undefined : describeProblem(problem)
  }),
)
const rows = rowReader(
  "settings of plugin",
  Schema.Struct({ id: Schema.String, config: Schema.fromJsonString(Config) }),
)
