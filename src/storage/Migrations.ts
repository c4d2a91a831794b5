import { Effect } from "effect"
import { Migrator, type SqlError, SqlClient } from "effect/sql"

/** Steps that make the tables, by `<number>_<name>`. Each runs once; steps are only ever added. */
export interface Migrations {
  readonly [name: string]: Effect.Effect<void, unknown, SqlClient.SqlClient>
}

/** The version of the tables, and the newest that this program knows. */
export interface TablesVersion {
  readonly found: number
  readonly supported: number
}

/**
 * Brings tables to the newest version; the steps that were run are noted in `table`. Several hosts may do so at once.
 * Tables from the future are left as they are, since there is no step to run on them: then `found` is more than
 * `supported`.
 */
export const migrate = Effect.fn("Migrations.migrate")(function* (
  migrations: Migrations,
  table: string,
): Effect.fn.Return<TablesVersion, SqlError.SqlError | Migrator.MigrationError, SqlClient.SqlClient> {
  const sql = yield* SqlClient.SqlClient
  yield* Migrator.make({})({ loader: Migrator.fromRecord(migrations), table })
  const rows = yield* sql<{ readonly version: number }>`SELECT max(migration_id) AS version FROM ${sql(table)}`
  return {
    found: rows[0]!.version,
    supported: Math.max(...Object.keys(migrations).map((name) => Number.parseInt(name))),
  }
})
