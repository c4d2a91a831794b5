import { join } from "node:path"
import { Effect, Layer, Schema } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { layerNodeSqlite } from "./NodeSqlite.ts"
import { workspaceMigrations } from "./WorkspaceMigrations.ts"

/** The workspace's database could not be opened. */
export class WorkspaceDatabaseError extends Schema.TaggedError<WorkspaceDatabaseError>()("WorkspaceDatabaseError", {
  /** The database's file. */
  file: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `can't open the workspace's database ${this.file}: ${this.reason}; check that the data folder can be written to and holds no other program's file of that name`
  }
}

/** The database was made by a later version, which may keep things this one would break. */
export class WorkspaceVersionError extends Schema.TaggedError<WorkspaceVersionError>()("WorkspaceVersionError", {
  /** The database's file. */
  file: Schema.String,
  /** The database's version. */
  found: Schema.Int,
  /** The newest version this program knows. */
  supported: Schema.Int,
}) {
  override get message(): string {
    return `the workspace's database ${this.file} has version ${this.found}, and this program knows versions up to ${this.supported}; run the program that wrote it, or use another data folder`
  }
}

/** The database's file in the data folder. */
export const DATABASE_FILE = "workspace.db"

const MIGRATIONS_TABLE = "workspace_migrations"

const migrate = Migrator.make({})({
  loader: Migrator.fromRecord(workspaceMigrations),
  table: MIGRATIONS_TABLE,
})

const supported = Math.max(...Object.keys(workspaceMigrations).map((name) => Number.parseInt(name)))

const latest = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{
    readonly version: number
  }>`SELECT max(migration_id) AS version FROM ${sql(MIGRATIONS_TABLE)}`
  return rows[0]!.version
})

/** Brings a database to the newest version. One from the future is left as it is: there is no step to run on it. */
const prepare = Effect.fn("WorkspaceDatabase.prepare")(function* (file: string) {
  yield* migrate
  const found = yield* latest
  if (found > supported) return yield* new WorkspaceVersionError({ file, found, supported })
})

type DatabaseLayer = Layer.Layer<SqlClient.SqlClient, WorkspaceDatabaseError | WorkspaceVersionError>

const layerFile = (file: string): DatabaseLayer => {
  const failed = (error: { readonly message: string; readonly cause?: unknown }) =>
    new WorkspaceDatabaseError({
      file,
      reason: error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message,
    })
  return Layer.effectDiscard(prepare(file)).pipe(
    Layer.provideMerge(layerNodeSqlite(file)),
    Layer.catchTag(["SqlError", "MigrationError"], (error) => Layer.effectContext(Effect.fail(failed(error)))),
  )
}

/** The database of the embedded workspace, as a layer that opens it with all its tables. */
export const WorkspaceDatabase = {
  /** In {@link DATABASE_FILE} in a data folder; the folder (mode 0700) and the file (0600) are made when missing. */
  layer: (directory: string): DatabaseLayer => layerFile(join(directory, DATABASE_FILE)),
  /** In memory: empty at first, gone at the end. For tests. */
  layerMemory: layerFile(":memory:"),
} as const
