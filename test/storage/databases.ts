/** The databases that storage is tested on: the same tests run on each. */
import { join } from "node:path"
import { Effect, Layer, type Scope } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { layerNodeSqlite } from "../../src/storage/NodeSqlite.ts"
import { noPostgres } from "../support/findPostgres.ts"
import { temporaryFolder } from "../support/folder.ts"
import { postgresOfFile } from "../support/postgres.ts"

type Client = Layer.Layer<SqlClient.SqlClient, SqlError.SqlError>

/** A kind of database. */
export interface Kind {
  readonly name: string
  /** Why it can't be tried here; the global setup has printed it. */
  readonly missing: string | undefined
  /**
   * A new database, as a layer that is a host's client each time that it is built, with so many connections at most;
   * SQLite's has one.
   */
  readonly open: (connections?: number) => Effect.Effect<Client, never, Scope.Scope>
  /** Waits until a statement waits for a transaction of the same host. */
  readonly untilBlocked: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, SqlError.SqlError>
}

/** Waits until a statement waits for a row that another has. */
export const untilBlocked = (sql: SqlClient.SqlClient) =>
  Effect.repeat(sql`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`, {
    until: (rows) => rows.length > 0,
  })

/** The kinds, for one file of tests. */
export const databases = (): ReadonlyArray<Kind> => {
  const postgres = postgresOfFile()
  return [
    {
      name: "SQLite",
      missing: undefined,
      open: () =>
        Effect.map(temporaryFolder, (folder) => Layer.fresh(layerNodeSqlite(join(folder, "data", "some.db")))),
      // There is one connection, and the transaction has it.
      untilBlocked: () => Effect.yieldNow,
    },
    {
      name: "PostgreSQL",
      missing: noPostgres,
      open: (maxConnections = 10) =>
        Effect.flatMap(postgres, ({ database }) =>
          Effect.map(database, ({ client }) => Layer.fresh(client({ maxConnections }))),
        ),
      untilBlocked,
    },
  ]
}
