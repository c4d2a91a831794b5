import { Clock, Context, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { storedWith } from "../bundle/HeldStorage.ts"
import { type RowReader, rowReader, type UnreadableError } from "./Rows.ts"
import { type StorageError, storing } from "./StorageError.ts"
import { type StorageOpenError, storageTables } from "./StorageTables.ts"

/** The bundle that a plugin runs from. */
export interface CurrentBundle {
  /** Its folder, from that of the store (`InstalledBundle.path`). */
  readonly path: string
  /** Empty when its manifest has none. */
  readonly version: string
  /** What the list of its files was when it was installed (`checkIntegrity`). */
  readonly hash: string
  /** The id of the trusted key that it was signed by, when it was installed. */
  readonly signedBy: string | undefined
}

/** What an operator has decided about a plugin. */
export interface StoredPluginState {
  readonly pluginId: string
  /** Nothing for a plugin that was not installed, but is on disk otherwise. */
  readonly current: (CurrentBundle & { /** Milliseconds since 1970. */ readonly installedAt: number }) | undefined
  /** Whether it is to run; unset, that is by default of where it comes from. */
  readonly enabled: boolean | undefined
}

/**
 * Which bundle of a plugin is the current one, and whether the plugin is enabled. It is the last word on an install: see
 * `BundleStore`.
 */
export class PluginStates extends Context.Service<
  PluginStates,
  {
    /** What is stored of a plugin; `undefined` for one of which nothing is. */
    readonly get: (pluginId: string) => Effect.Effect<StoredPluginState | undefined, UnreadableError | StorageError>
    /** All of them, by their ids. Those that can't be read are left out, and logged. */
    readonly all: Effect.Effect<ReadonlyArray<StoredPluginState>, StorageError>
    /** The paths of all current bundles, for `BundleStore.sweep`: of states that can't be read as well. */
    readonly paths: Effect.Effect<ReadonlyArray<string>, StorageError>
    /** Makes a bundle the current one of a plugin: installs it, or upgrades it. Whether it is enabled stays as it is. */
    readonly set: (pluginId: string, current: CurrentBundle) => Effect.Effect<void, StorageError>
    /** Enables or disables a plugin; `undefined` leaves it to the default. */
    readonly enable: (pluginId: string, enabled: boolean | undefined) => Effect.Effect<void, StorageError>
    /** Forgets a plugin. */
    readonly remove: (pluginId: string) => Effect.Effect<void, StorageError>
  }
>()("effect-plugin-supervisor/storage/PluginStates") {
  /** On tables that are there. */
  static readonly make: Effect.Effect<PluginStates["Service"], never, SqlClient.SqlClient> = Effect.suspend(() => make)

  /** On any `SqlClient` of SQLite or PostgreSQL, in tables that are made when they are missing. */
  static readonly layer: Layer.Layer<PluginStates, StorageOpenError, SqlClient.SqlClient> = Layer.effect(
    PluginStates,
    PluginStates.make,
  ).pipe(Layer.provide(storageTables))
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const reader: RowReader<typeof Row.Type> = rowReader("state of plugin", Row)
  // As text, since the databases' clients hand integers of 64 bits over as different things.
  const columns = sql.literal(
    "plugin_id AS id, path, version, hash, signed_by, CAST(installed_at AS TEXT) AS installed_at, enabled",
  )

  const service = PluginStates.of({
    get: (pluginId) =>
      sql`SELECT ${columns} FROM plugin_states WHERE plugin_id = ${pluginId}`.pipe(
        Effect.flatMap(reader.first),
        Effect.map((row) => (row === undefined ? undefined : stateOf(row))),
        storing("PluginStates.get"),
      ),
    all: sql`SELECT ${columns} FROM plugin_states ORDER BY plugin_id`.pipe(
      Effect.flatMap(reader.all),
      Effect.map((rows) => rows.map(stateOf)),
      storing("PluginStates.all"),
    ),
    paths: sql`SELECT path FROM plugin_states WHERE path IS NOT NULL`.pipe(
      Effect.flatMap(decodePaths),
      Effect.map((rows) => rows.map(({ path }) => path)),
      storing("PluginStates.paths"),
    ),
    set: Effect.fnUntraced(function* (pluginId: string, { hash, path, signedBy, version }: CurrentBundle) {
      const installed_at = yield* Clock.currentTimeMillis
      const row = { plugin_id: pluginId, path, version, hash, signed_by: signedBy ?? null, installed_at }
      yield* sql`INSERT INTO plugin_states ${sql.insert(row)}
        ON CONFLICT (plugin_id) DO UPDATE SET path = excluded.path, version = excluded.version, hash = excluded.hash,
          signed_by = excluded.signed_by, installed_at = excluded.installed_at`
    }, storing("PluginStates.set")),
    enable: (pluginId, enabled) =>
      sql`INSERT INTO plugin_states ${sql.insert({ plugin_id: pluginId, enabled: enabled === undefined ? null : Number(enabled) })}
        ON CONFLICT (plugin_id) DO UPDATE SET enabled = excluded.enabled`.pipe(
        Effect.asVoid,
        storing("PluginStates.enable"),
      ),
    remove: (pluginId) =>
      sql`DELETE FROM plugin_states WHERE plugin_id = ${pluginId}`.pipe(Effect.asVoid, storing("PluginStates.remove")),
  })
  return storedWith(service, sql)
})

const decodePaths = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ path: Schema.String })))

const Text = Schema.NullOr(Schema.String)

const Row = Schema.Struct({
  id: Schema.String,
  path: Text,
  version: Text,
  hash: Text,
  signed_by: Text,
  installed_at: Schema.NullOr(Schema.FiniteFromString),
  enabled: Schema.NullOr(Schema.Literals([0, 1])),
})

const stateOf = ({
  enabled,
  hash,
  id,
  installed_at,
  path,
  signed_by,
  version,
}: typeof Row.Type): StoredPluginState => ({
  pluginId: id,
  current:
    path === null || version === null || hash === null || installed_at === null
      ? undefined
      : { path, version, hash, signedBy: signed_by ?? undefined, installedAt: installed_at },
  enabled: enabled === null ? undefined : enabled === 1,
})
