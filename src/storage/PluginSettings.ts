import type { JsonObject } from "@bufbuild/protobuf"
import { Array as Arr, Context, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { describeProblem, jsonProblem } from "../rpc/MessageCheck.ts"
import { storedWith } from "../bundle/HeldStorage.ts"
import { rowReader, type UnreadableError } from "./Rows.ts"
import { type StorageError, storing } from "./StorageError.ts"
import { StorageLimits } from "./StorageLimits.ts"
import { type StorageOpenError, storageTables } from "./StorageTables.ts"

/** Settings by plugin id. */
export interface SettingsByPlugin {
  readonly [pluginId: string]: JsonObject
}

/** Settings that can't be stored, or couldn't be sent to a plugin. */
export class BadSettingsError extends Schema.TaggedError<BadSettingsError>()("BadSettingsError", {
  pluginId: Schema.String,
  /** What is wrong with them. */
  reason: Schema.String,
}) {
  override get message(): string {
    return `the settings of the plugin ${this.pluginId} can't be saved: ${this.reason}; nothing was saved`
  }
}

/** What the operator has set for each plugin: an object of JSON. */
export class PluginSettings extends Context.Service<
  PluginSettings,
  {
    /** A plugin's settings; none is an empty object. */
    readonly get: (pluginId: string) => Effect.Effect<JsonObject, UnreadableError | StorageError>
    /** Replaces the settings of these plugins, all of them or none; those of others stay. */
    readonly save: (settings: SettingsByPlugin) => Effect.Effect<void, BadSettingsError | StorageError>
    /** The settings of every plugin that has some. Those that can't be read are left out, and logged. */
    readonly all: Effect.Effect<SettingsByPlugin, StorageError>
  }
>()("effect-plugin-supervisor/storage/PluginSettings") {
  /** On tables that are there. */
  static readonly make: Effect.Effect<PluginSettings["Service"], never, SqlClient.SqlClient> = Effect.suspend(
    () => make,
  )

  /** On any `SqlClient` of SQLite or PostgreSQL, in tables that are made when they are missing. */
  static readonly layer: Layer.Layer<PluginSettings, StorageOpenError, SqlClient.SqlClient> = Layer.effect(
    PluginSettings,
    PluginSettings.make,
  ).pipe(Layer.provide(storageTables))
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { settings: maxBytes } = yield* StorageLimits
  const reader = rowReader("settings of plugin", Row)

  const save = Effect.fnUntraced(function* (settings: SettingsByPlugin) {
    const rows: Array<{ plugin_id: string; config: string }> = []
    // In one order, whoever saves them: statements that lock each other's rows crosswise would wait for each other.
    for (const [pluginId, values] of Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1))) {
      const problem = jsonProblem(values)
      if (problem !== undefined) yield* new BadSettingsError({ pluginId, reason: describeProblem(problem) })
      const config = JSON.stringify(values)
      if (Buffer.byteLength(config) > maxBytes) {
        yield* new BadSettingsError({ pluginId, reason: `they have more than ${maxBytes} bytes as JSON` })
      }
      rows.push({ plugin_id: pluginId, config })
    }
    if (!Arr.isArrayNonEmpty(rows)) return
    yield* sql`INSERT INTO plugin_configs ${sql.insert(rows)}
      ON CONFLICT (plugin_id) DO UPDATE SET config = excluded.config`
  }, storing("PluginSettings.save"))

  const service = PluginSettings.of({
    get: (pluginId) =>
      sql`SELECT plugin_id AS id, config FROM plugin_configs WHERE plugin_id = ${pluginId}`.pipe(
        Effect.flatMap(reader.first),
        Effect.map((row) => row?.config ?? {}),
        storing("PluginSettings.get"),
      ),
    save,
    all: sql`SELECT plugin_id AS id, config FROM plugin_configs ORDER BY plugin_id`.pipe(
      Effect.flatMap(reader.all),
      Effect.map((found) => Object.fromEntries(found.map(({ config, id }) => [id, config]))),
      storing("PluginSettings.all"),
    ),
  })
  return storedWith(service, sql)
})

/** JSON that can be sent on; versions before that was looked at may have stored other. */
const Config = Schema.Record(Schema.String, Schema.MutableJson).check(
  Schema.makeFilter((config) => {
    const problem = jsonProblem(config)
    return problem === undefined ? undefined : describeProblem(problem)
  }),
)
const Row = Schema.Struct({ id: Schema.String, config: Schema.fromJsonString(Config) })
