import type { JsonObject } from "@bufbuild/protobuf"
import { Context, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { PluginApiError } from "../api/PluginApi.ts"
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
        get: Effect.fnUntraced(function* (pluginId: string) {
          const rows = yield* decode(yield* sql`SELECT * FROM plugin_configs WHERE plugin_id = ${pluginId}`)
          return rows[0]?.config ?? {}
        }, storing("PluginConfigStore.get")),
        save: (configs) =>
          Effect.forEach(
            Object.entries(configs),
            ([id, config]) =>
              sql`INSERT INTO plugin_configs ${sql.insert({ plugin_id: id, config: JSON.stringify(config) })}
                ON CONFLICT (plugin_id) DO UPDATE SET config = excluded.config`,
            { discard: true },
          ).pipe(sql.withTransaction, storing("PluginConfigStore.save")),
        all: sql`SELECT * FROM plugin_configs ORDER BY plugin_id`.pipe(
          Effect.flatMap(decode),
          Effect.map((rows) => Object.fromEntries(rows.map(({ config, plugin_id }) => [plugin_id, config]))),
          storing("PluginConfigStore.all"),
        ),
      }
    }),
  )
}

const Row = Schema.Struct({
  plugin_id: Schema.String,
  config: Schema.fromJsonString(Schema.Record(Schema.String, Schema.MutableJson)),
})
const decode = Schema.decodeUnknownEffect(Schema.Array(Row))
