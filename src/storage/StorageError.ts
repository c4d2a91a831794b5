import { Duration, Effect, Schema } from "effect"
import { SqlError } from "effect/sql"

/** What to do about a failure of the database, by what kind it is of. */
const CURES: { readonly [kind: string]: string } = {
  AuthenticationError: "check the user and the password that its client is given",
  AuthorizationError: "its user has to be allowed to make tables in its schema, and to read and write them",
  ConnectionError: "check that the server runs and can be reached; the same works again once it can",
  LockTimeoutError: "end the other program that has locked it, or wait for it",
}

/** The database of plugins' values and settings has failed. */
export class StorageError extends Schema.TaggedError<StorageError>()("StorageError", {
  /** What was to be done, for example `KeyValues.get`. */
  operation: Schema.String,
  /** What the database says; for logs rather than for plugins. */
  reason: Schema.String,
  /** Whether the same may work when it is tried again: the server was away, or somebody else had a lock. */
  isRetryable: Schema.Boolean,
  /** The error of the `SqlClient`, if it is one of its. */
  cause: Schema.optional(Schema.Defect()),
}) {
  override get message(): string {
    const cure = SqlError.isSqlError(this.cause) ? CURES[this.cause.reason._tag] : undefined
    return `${this.operation}: the plugins' database failed: ${this.reason}${cure === undefined ? "" : `; ${cure}`}`
  }
}

/** The innermost text: those around it only say that a query or a step has failed. */
const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const { cause } = SqlError.isSqlError(error) ? error.reason : error
  return cause instanceof Error ? reasonOf(cause) : error.message
}

/** What has failed, as the error that others see. */
export const storageError = (operation: string, error: { readonly cause?: unknown }): StorageError => {
  const cause = !SqlError.isSqlError(error) && SqlError.isSqlError(error.cause) ? error.cause : error
  return new StorageError({
    operation,
    reason: reasonOf(cause),
    isRetryable: SqlError.isSqlError(cause) && cause.isRetryable,
    cause,
  })
}

/**
 * How long the database is waited for: a server that is cut off says nothing, and another's transaction may hold the
 * row. Large values over a slow line take seconds.
 */
export const STORAGE_LIMIT = Duration.seconds(30)

/** Turns failures of the database, its silence, and rows that are none of ours, into a {@link StorageError}. */
export const storing =
  (operation: string) =>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
  ): Effect.Effect<A, Exclude<E, SqlError.SqlError | Schema.SchemaError> | StorageError, R> =>
    Effect.catchIf(
      self,
      (error): error is Extract<E, SqlError.SqlError | Schema.SchemaError> =>
        SqlError.isSqlError(error) || Schema.isSchemaError(error),
      (error) => Effect.fail(storageError(operation, error as Error)),
    ).pipe(
      Effect.timeoutOrElse({
        duration: STORAGE_LIMIT,
        orElse: () => {
          const reason = `it has not answered for ${Duration.format(STORAGE_LIMIT)}; another transaction may be in the way`
          return Effect.fail(new StorageError({ operation, reason, isRetryable: true }))
        },
      }),
    ) as never
