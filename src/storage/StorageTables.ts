import { Effect, Layer, Schema } from "effect"
import { SqlClient, type Statement } from "effect/sql"
import { migrate, type Migrations } from "./Migrations.ts"
import { StorageError, storageError } from "./StorageError.ts"

/** The tables were made by a later version, which may keep things this one would break. */
export class StorageVersionError extends Schema.TaggedError<StorageVersionError>()("StorageVersionError", {
  /** The tables' version. */
  found: Schema.Int,
  /** The newest version this program knows. */
  supported: Schema.Int,
}) {
  override get message(): string {
    return `the tables of plugins' values and settings have version ${this.found}, and this program knows versions up to ${this.supported}; run the program that wrote them, or use another database`
  }
}

/** Why the tables can't be used. */
export type StorageOpenError = StorageError | StorageVersionError

/** What the databases call differently. Queries are the same for all, so only the steps that make tables know it. */
interface Dialect {
  readonly bytes: Statement.Fragment
  /** An integer of 64 bits. */
  readonly int8: Statement.Fragment
  /** The order of a text's UTF-8 bytes, whatever the database's own is. */
  readonly byteOrder: Statement.Fragment
  /** Has the database look at the types of what is stored, if it doesn't anyway. */
  readonly strict: Statement.Fragment
}

const dialectOf = (sql: SqlClient.SqlClient): Dialect | undefined =>
  sql.onDialectOrElse({
    sqlite: () => ({
      bytes: sql.literal("BLOB"),
      int8: sql.literal("INTEGER"),
      byteOrder: sql.literal("COLLATE BINARY"),
      strict: sql.literal("STRICT"),
    }),
    pg: () => ({
      bytes: sql.literal("BYTEA"),
      int8: sql.literal("BIGINT"),
      byteOrder: sql.literal(`COLLATE "C"`),
      strict: sql.literal(""),
    }),
    orElse: () => undefined,
  })

const MIGRATIONS_TABLE = "plugin_storage_migrations"

const migrationsOf = ({ byteOrder, bytes, int8, strict }: Dialect): Migrations => ({
  // A workspace made by a version before this step has the tables already.
  "0001_values_and_settings": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE IF NOT EXISTS plugin_key_values (
      plugin_id TEXT NOT NULL,
      key TEXT ${byteOrder} NOT NULL,
      value ${bytes} NOT NULL,
      expire_at ${int8} NOT NULL DEFAULT 0,
      PRIMARY KEY (plugin_id, key)
    ) ${strict}`
    yield* sql`CREATE INDEX IF NOT EXISTS plugin_key_values_expiry ON plugin_key_values (expire_at) WHERE expire_at <> 0`
    yield* sql`CREATE TABLE IF NOT EXISTS plugin_configs (
      plugin_id TEXT ${byteOrder} PRIMARY KEY,
      config TEXT NOT NULL
    ) ${strict}`
  }),
  "0002_states": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    // Of the bundle all or nothing is known: it is written by one statement.
    yield* sql`CREATE TABLE plugin_states (
      plugin_id TEXT ${byteOrder} PRIMARY KEY,
      path TEXT,
      version TEXT,
      hash TEXT,
      signed_by TEXT,
      installed_at ${int8},
      enabled INTEGER
    ) ${strict}`
  }),
})

/** Makes the tables of plugins' values and settings, or brings them to the newest version. */
export const prepareTables: Effect.Effect<void, StorageOpenError, SqlClient.SqlClient> = Effect.gen(function* () {
  const operation = "making the tables of plugins' values and settings"
  const dialect = dialectOf(yield* SqlClient.SqlClient)
  if (dialect === undefined) {
    const reason = "there is only code for SQLite and PostgreSQL; give it a SqlClient of one of them"
    return yield* new StorageError({ operation, reason, isRetryable: false })
  }
  const version = yield* migrate(migrationsOf(dialect), MIGRATIONS_TABLE).pipe(
    Effect.mapError((error) => storageError(operation, error)),
  )
  if (version.found > version.supported) return yield* new StorageVersionError(version)
})

/** {@link prepareTables} as a layer, to be provided to what uses the tables. */
export const storageTables: Layer.Layer<never, StorageOpenError, SqlClient.SqlClient> =
  Layer.effectDiscard(prepareTables)
