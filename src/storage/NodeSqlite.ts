/**
 * A driver for `effect/sql` on `node:sqlite`. It stands in for `@effect/sql-sqlite-node`, whose published versions
 * import modules that effect 4.1 has moved; once that package works again, this file can go.
 */
import { closeSync, openSync, realpathSync, statSync } from "node:fs"
import { dirname } from "node:path"
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from "node:sqlite"
import { Clock, Context, Duration, Effect, Layer, Schedule, type Scope, Semaphore, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, type SqlConnection, SqlError, Statement } from "effect/sql"
import { storedAt } from "../bundle/HeldStorage.ts"
import { makeFolder } from "../bundle/PrivateFolder.ts"

/**
 * How long statements wait for another process that holds the database's lock, and how often they look. SQLite's own
 * waiting (its busy timeout) would stop the whole host: its statements run on the event loop.
 */
export const BUSY_LIMIT = Duration.seconds(5)
const BUSY_INTERVAL = Duration.millis(25)

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
 * same mode. One that is there is not opened: closing it would give up the locks that this process may have on it
 * (fcntl(2)).
 */
const createPrivateFile = (filename: string): void => {
  makeFolder(dirname(filename))
  try {
    closeSync(openSync(filename, "ax", 0o600))
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error
  }
}

/**
 * Holds a lock while the Scope is open; fails at once, and busy (`LockTimeoutError`), when another process or another
 * Scope has it. It is SQLite's lock on a file of its own, which the system lets go when the process that holds it
 * ends, however it ends.
 */
export const lockFile = (filename: string): Effect.Effect<void, SqlError.SqlError, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.try({
        try: () => {
          createPrivateFile(filename)
          const database = new DatabaseSync(filename, { timeout: 0 })
          try {
            database.exec("BEGIN EXCLUSIVE")
          } catch (error) {
            database.close()
            throw error
          }
          return database
        },
        catch: (cause) => sqlError(cause, "lock"),
      }),
      (database) => Effect.sync(() => database.close()),
    ),
  )

export const isBusy = (error: SqlError.SqlError): boolean => error.reason._tag === "LockTimeoutError"

const isRead = (sql: string): boolean => /^\s*SELECT\b/i.test(sql)

/** Runs a statement. */
type Attempt = <A>(sql: string, run: () => A) => Effect.Effect<A, SqlError.SqlError>

/**
 * Runs statements; while another process has the lock, again and again, and others get their turn in between. They wait
 * for {@link BUSY_LIMIT} together: those behind one that has waited in vain don't wait as long once more.
 */
const makeAttempt = (): Attempt => {
  let busySince: number | undefined
  const isPatient = (error: SqlError.SqlError) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      if (!isBusy(error)) return false
      busySince ??= now
      return now - busySince < Duration.toMillis(BUSY_LIMIT)
    })
  return (sql, run) => {
    const once = Effect.try({
      try: () => {
        const result = run()
        // Reading needs no lock, and so says nothing about it.
        if (!isRead(sql)) busySince = undefined
        return result
      },
      catch: (cause) => sqlError(cause, "execute"),
    })
    return Effect.catchIf(once, isBusy, () =>
      Effect.retry(once, { while: isPatient, schedule: Schedule.spaced(BUSY_INTERVAL) }),
    )
  }
}

/** Whether others than the user may enter a file's folder; Windows has no such modes. */
const isFolderOpenToOthers = (filename: string): boolean =>
  process.platform !== "win32" && (statSync(dirname(filename)).mode & 0o077) !== 0

const open = Effect.fnUntraced(function* (filename: string, attempt: Attempt) {
  const inMemory = filename === ":memory:"
  const database = yield* Effect.acquireRelease(
    attempt("open", () => {
      if (!inMemory) createPrivateFile(filename)
      return new DatabaseSync(filename, { timeout: 0, enableForeignKeyConstraints: true })
    }),
    (database) => Effect.sync(() => database.close()),
  )
  if (!inMemory) {
    // With a write-ahead log a commit outlives a crash of the host; only a crash of the machine may lose the last ones.
    yield* attempt("open", () => database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"))
    if (isFolderOpenToOthers(filename)) {
      yield* Effect.logWarning(`other users can enter the data folder ${dirname(filename)}; close it with chmod 700`)
    }
  }
  return database
})

/**
 * A statement's rows. `node:sqlite` answers no row at all when one of them has an integer that is no safe number;
 * here it is a `bigint` then, and the others are numbers as always.
 */
const allRows = (statement: StatementSync, params: ReadonlyArray<SQLInputValue>): Array<Row> => {
  try {
    return statement.all(...params)
  } catch (error) {
    // What changes something has done so by now.
    if (
      !isRead(statement.sourceSQL) ||
      !(error instanceof Error && "code" in error && error.code === "ERR_OUT_OF_RANGE")
    )
      throw error
  }
  statement.setReadBigInts(true)
  try {
    return statement
      .all(...params)
      .map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, safe(value)])))
  } finally {
    statement.setReadBigInts(false)
  }
}

type Row = Record<string, SQLOutputValue>

const safe = (value: SQLOutputValue): SQLOutputValue =>
  typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value

const makeConnection = (database: DatabaseSync, attempt: Attempt): SqlConnection.Connection => {
  const prepared = new Map<string, StatementSync>()
  const prepare = (sql: string): StatementSync => {
    const statement = prepared.get(sql) ?? database.prepare(sql)
    prepared.delete(sql)
    prepared.set(sql, statement)
    if (prepared.size > PREPARED_STATEMENTS) prepared.delete(prepared.keys().next().value!)
    return statement
  }
  const values = (params: ReadonlyArray<unknown>) => params as ReadonlyArray<SQLInputValue>

  const execute: SqlConnection.Connection["execute"] = (sql, params, transformRows) =>
    attempt(sql, () => {
      const rows = allRows(prepare(sql), values(params))
      return transformRows === undefined ? rows : transformRows(rows)
    })
  const arrays = (statement: StatementSync, params: ReadonlyArray<unknown>) => {
    statement.setReturnArrays(true)
    return statement.all(...values(params)) as unknown as ReadonlyArray<ReadonlyArray<unknown>>
  }
  return {
    execute,
    executeRaw: (sql, params) => attempt(sql, () => prepare(sql).run(...values(params))),
    executeStream: (sql, params, transformRows) =>
      Stream.unwrap(Effect.map(execute(sql, params, transformRows), Stream.fromIterable)),
    // A statement that answers arrays is one of its own: the prepared ones answer objects.
    executeValues: (sql, params) => attempt(sql, () => arrays(database.prepare(sql), params)),
    executeValuesUnprepared: (sql, params) => attempt(sql, () => arrays(database.prepare(sql), params)),
    executeUnprepared: (sql, params, transformRows) =>
      attempt(sql, () => {
        const rows = allRows(database.prepare(sql), values(params))
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
  const attempt = makeAttempt()
  const database = yield* open(filename, attempt)
  const acquirers = SqlClient.makeSqliteAcquirers({
    connection: Effect.succeed(makeConnection(database, attempt)),
    semaphore: yield* Semaphore.make(1),
    isTransaction: () => database.isTransaction,
  })
  const client = yield* SqlClient.make({
    ...acquirers,
    compiler: Statement.makeCompilerSqlite(),
    driver: "node-sqlite",
    spanAttributes: [["db.system.name", "sqlite"]],
    // A transaction that reads first and writes later could not be retried by SQLite's busy timeout.
    beginTransaction: "BEGIN IMMEDIATE",
    prepareTransactionControls: true,
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
  })
  return filename === ":memory:" ? client : storedAt(client, realpathSync(filename))
})

/** The client of {@link makeNodeSqlite} as a layer. */
export const layerNodeSqlite = (filename: string): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError> =>
  Layer.effectContext(Effect.map(makeNodeSqlite(filename), (client) => Context.make(SqlClient.SqlClient, client))).pipe(
    Layer.provide(Reactivity.layer),
  )
