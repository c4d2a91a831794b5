import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Layer, Option, Schema, type Scope } from "effect"
import type { SqlClient } from "effect/sql"
import { migrate } from "../storage/Migrations.ts"
import { isBusy, layerNodeSqlite, lockFile } from "../storage/NodeSqlite.ts"
import { prepareTables } from "../storage/StorageTables.ts"
import { workspaceMigrations } from "./WorkspaceMigrations.ts"

/** The workspace's database could not be opened. */
export class WorkspaceDatabaseError extends Schema.TaggedError<WorkspaceDatabaseError>()("WorkspaceDatabaseError", {
  /** The database's file. */
  file: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `can't open the workspace's database ${this.file}: ${this.reason}; check that no other program has it open, that the data folder can be written to, and that the file is no other program's`
  }
}

/** Another supervisor works in the data folder; two of them would run every plugin twice on the same data. */
export class WorkspaceInUseError extends Schema.TaggedError<WorkspaceInUseError>()("WorkspaceInUseError", {
  directory: Schema.String,
  /** The other's process id, as far as it is known. */
  pid: Schema.optional(Schema.Number),
}) {
  override get message(): string {
    const holder = this.pid === undefined ? "another process" : `the process ${this.pid}`
    return `the data folder ${this.directory} is in use by ${holder}; end it, or use another folder (--data)`
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

/** Brings a database to the newest version. One from the future is left as it is: there is no step to run on it. */
const prepare = Effect.fn("WorkspaceDatabase.prepare")(function* (file: string) {
  const { found, supported } = yield* migrate(workspaceMigrations, MIGRATIONS_TABLE)
  if (found > supported) return yield* new WorkspaceVersionError({ file, found, supported })
  yield* Effect.catchTag(prepareTables, "StorageVersionError", ({ found, supported }) =>
    Effect.fail(new WorkspaceVersionError({ file, found, supported })),
  )
})

/** Locked by whoever works in the data folder, who writes its process id into the other file, for others to see. */
const LOCK_FILE = "workspace.lock"
const HOLDER_FILE = "workspace.pid"

/** Makes this process the only one that works in the data folder, while the Scope is open. */
const holdFolder = Effect.fn("WorkspaceDatabase.holdFolder")(function* (
  directory: string,
): Effect.fn.Return<void, WorkspaceDatabaseError | WorkspaceInUseError, Scope.Scope> {
  const holder = join(directory, HOLDER_FILE)
  // What is in there is only for people: a folder in which it can't be written will say so with the database.
  const note = <A>(about: () => A) => Effect.option(Effect.try(about))
  const refused = Effect.flatMap(
    note(() => Number.parseInt(readFileSync(holder, "utf8"))),
    (pid) =>
      Effect.fail(
        new WorkspaceInUseError({ directory, pid: Option.getOrUndefined(Option.filter(pid, Number.isSafeInteger)) }),
      ),
  )
  yield* lockFile(join(directory, LOCK_FILE)).pipe(
    Effect.catchIf(isBusy, () => refused),
    Effect.catchTag("SqlError", (error) => Effect.fail(failed(join(directory, DATABASE_FILE))(error))),
  )
  yield* Effect.acquireRelease(
    note(() => writeFileSync(holder, `${process.pid}\n`, { mode: 0o600 })),
    () => note(() => rmSync(holder)),
  )
})

/** Why the workspace's database can't be opened. */
export type WorkspaceOpenError = WorkspaceDatabaseError | WorkspaceInUseError | WorkspaceVersionError

type DatabaseLayer = Layer.Layer<SqlClient.SqlClient, WorkspaceOpenError>

const failed = (file: string) => (error: { readonly message: string; readonly cause?: unknown }) =>
  new WorkspaceDatabaseError({
    file,
    reason:
      error.cause instanceof Error && error.cause.message !== error.message
        ? `${error.message}: ${error.cause.message}`
        : error.message,
  })

const layerFile = (file: string): DatabaseLayer => {
  return Layer.effectDiscard(prepare(file)).pipe(
    Layer.provideMerge(layerNodeSqlite(file)),
    Layer.catchTag(["SqlError", "MigrationError", "StorageError"], (error) =>
      Layer.effectContext(Effect.fail(failed(file)(error))),
    ),
  )
}

/** The database of the embedded workspace, as a layer that opens it with all its tables. */
export const WorkspaceDatabase = {
  /**
   * In {@link DATABASE_FILE} in a data folder; the folder (mode 0700) and the file (0600) are made when missing. Only
   * one process works in a folder at a time: others fail ({@link WorkspaceInUseError}) until it has ended, however it
   * ends.
   */
  layer: (directory: string): DatabaseLayer =>
    layerFile(join(directory, DATABASE_FILE)).pipe(Layer.provide(Layer.effectDiscard(holdFolder(directory)))),
  /** In memory: empty at first, gone at the end. For tests. */
  layerMemory: layerFile(":memory:"),
} as const
