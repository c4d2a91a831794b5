/**
 * A driver for `effect/sql` on `node:sqlite`. It stands in for `@effect/sql-sqlite-node`, whose published versions
 * import modules that effect 4.1 has moved; once that package works again, this file can go.
 */
import { mkdirSync, openSync, closeSync, statSync } from "node:fs"
import { dirname } from "node:path"
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite"
import { Context, Effect, Layer, type Scope, Semaphore, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, type SqlConnection, SqlError, Statement } from "effect/sql"

/** How long a statement waits for another process that holds the database's lock, in milliseconds. */
const BUSY_TIMEOUT_MILLIS = 5000

/** Statements kept prepared; the workspace has a few dozen. */
const PREPARED_STATEMENTS = 200

const sqlError = (cause: unknown, operation: string): SqlError.SqlError =>
  new SqlError.SqlError({
    reason: SqlError.classifySqliteError(
      // node:sqlite has SQLite's number in `errcode`, where the classifier looks for `errno`.
      cause instanceof Error && "errcode" in cause ? Object.assign(cause, { errno: cause.errcode }) : cause,
      { message: cause instanceof Error ? cause.message : String(cause), operation },
    ),
  })

/**
 * Makes the file before SQLite does, so that nobody but its user may ever open it; SQLite gives its journal files the
 * same mode.
 */
const createPrivateFile = (filename: string): void => {
  mkdirSync(dirname(filename), { recursive: true, mode: 0o700 })
  closeSync(openSync(filename, "a", 0o600))
}

/** Whether others than the user may enter a file's folder; Windows has no such modes. */
const isFolderOpenToOthers = (filename: string): boolean =>
  process.platform !== "win32" && (statSync(dirname(filename)).mode & 0o077) !== 0

const open = Effect.fnUntraced(function* (filename: string) {
  const inMemory = filename === ":memory:"
  const database = yield* Effect.acquireRelease(
    Effect.try({
      try: () => {
        if (!inMemory) createPrivateFile(filename)
        return new DatabaseSync(filename, { timeout: BUSY_TIMEOUT_MILLIS, enableForeignKeyConstraints: true })
      },
      catch: (cause) => sqlError(cause, "open"),
    }),
    (database) => Effect.sync(() => database.close()),
  )
  if (!inMemory) {
    // With a write-ahead log a commit outlives a crash of the host; only a crash of the machine may lose the last ones.
    yield* Effect.try({
      try: () => database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"),
      catch: (cause) => sqlError(cause, "open"),
    })
    if (isFolderOpenToOthers(filename)) {
      yield* Effect.logWarning(`other users can enter the data folder ${dirname(filename)}; close it with chmod 700`)
    }
  }
  return database
})

const makeConnection = (database: DatabaseSync): SqlConnection.Connection => {
  const prepared = new Map<string, StatementSync>()
  const prepare = (sql: string): StatementSync => {
    const statement = prepared.get(sql) ?? database.prepare(sql)
    prepared.delete(sql)
    prepared.set(sql, statement)
    if (prepared.size > PREPARED_STATEMENTS) prepared.delete(prepared.keys().next().value!)
    return statement
  }
  const attempt = <A>(operation: string, run: () => A): Effect.Effect<A, SqlError.SqlError> =>
    Effect.try({ try: run, catch: (cause) => sqlError(cause, operation) })
  const values = (params: ReadonlyArray<unknown>) => params as ReadonlyArray<SQLInputValue>

  const execute: SqlConnection.Connection["execute"] = (sql, params, transformRows) =>
    attempt("execute", () => {
      const rows = prepare(sql).all(...values(params))
      return transformRows === undefined ? rows : transformRows(rows)
    })
  const arrays = (statement: StatementSync, params: ReadonlyArray<unknown>) => {
    statement.setReturnArrays(true)
    return statement.all(...values(params)) as unknown as ReadonlyArray<ReadonlyArray<unknown>>
  }
  return {
    execute,
    executeRaw: (sql, params) => attempt("executeRaw", () => prepare(sql).run(...values(params))),
    executeStream: (sql, params, transformRows) =>
      Stream.unwrap(Effect.map(execute(sql, params, transformRows), Stream.fromIterable)),
    // A statement that answers arrays is one of its own: the prepared ones answer objects.
    executeValues: (sql, params) => attempt("executeValues", () => arrays(database.prepare(sql), params)),
    executeValuesUnprepared: (sql, params) => attempt("executeValues", () => arrays(database.prepare(sql), params)),
    executeUnprepared: (sql, params, transformRows) =>
      attempt("execute", () => {
        const rows = database.prepare(sql).all(...values(params))
        return transformRows === undefined ? rows : transformRows(rows)
      }),
  }
}

/**
 * A client of the SQLite database in a file (`:memory:` for one that is gone with the Scope). The file is made, with
 * mode 0600 in a folder with mode 0700, when it is missing. There is one connection; a transaction holds it to its end.
 */
export const makeNodeSqlite = Effect.fn("NodeSqlite.make")(function* (
  filename: string,
): Effect.fn.Return<SqlClient.SqlClient, SqlError.SqlError, Scope.Scope | Reactivity.Reactivity> {
  const database = yield* open(filename)
  const acquirers = SqlClient.makeSqliteAcquirers({
    connection: Effect.succeed(makeConnection(database)),
    semaphore: yield* Semaphore.make(1),
    isTransaction: () => database.isTransaction,
  })
  return yield* SqlClient.make({
    ...acquirers,
    compiler: Statement.makeCompilerSqlite(),
    driver: "node-sqlite",
    spanAttributes: [["db.system.name", "sqlite"]],
    // A transaction that reads first and writes later could not be retried by SQLite's busy timeout.
    beginTransaction: "BEGIN IMMEDIATE",
    prepareTransactionControls: true,
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
  })
})

/** The client of {@link makeNodeSqlite} as a layer. */
export const layerNodeSqlite = (filename: string): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError> =>
  Layer.effectContext(Effect.map(makeNodeSqlite(filename), (client) => Context.make(SqlClient.SqlClient, client))).pipe(
    Layer.provide(Reactivity.layer),
  )
