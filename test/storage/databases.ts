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
  /** A new database, as a layer that is a host's client each time that it is built. */
  readonly open: Effect.Effect<Client, never, Scope.Scope>
}

/** The kinds, for one file of tests. */
export const databases = (): ReadonlyArray<Kind> => {
  const postgres = postgresOfFile()
  return [
    {
      name: "SQLite",
      missing: undefined,
      open: Effect.map(temporaryFolder, (folder) => Layer.fresh(layerNodeSqlite(join(folder, "data", "some.db")))),
    },
    {
      name: "PostgreSQL",
      missing: noPostgres,
      open: Effect.flatMap(postgres, ({ database }) => Effect.map(database, ({ client }) => Layer.fresh(client()))),
    },
  ]
}
