import { Effect, Schema } from "effect"
import { SqlError } from "effect/sql"
import { PluginApiError } from "../api/PluginApi.ts"
import { StorageError } from "../storage/StorageError.ts"

/** What somebody has asked for goes into a message up to this many characters. */
const MAX_SHOWN = 200

/** What was asked for does not exist (404). */
export const notFound = (id: string, what: string): PluginApiError =>
  new PluginApiError({ id, message: `There is no ${what.slice(0, MAX_SHOWN).toWellFormed()}`, statusCode: 404 })

/** What was given breaks a rule (400). */
export const invalid = (id: string, message: string): PluginApiError =>
  new PluginApiError({ id, message, statusCode: 400 })

/** A field that a request can't do without. */
export const required = <A>(value: A | undefined, field: string): Effect.Effect<A, PluginApiError> =>
  value === undefined
    ? Effect.fail(invalid("api.context.invalid_body_param.app_error", `The request has no ${field}`))
    : Effect.succeed(value)

/** What a caller is told of a failure of the database, by SQLite's number for it; and its cure, for the log. */
const FAILURES: { readonly [code: number]: readonly [status: number, message: string, cure: string] } = {
  5: [503, "is in use by another program", "end the program that has locked it, or wait for it"],
  8: [
    500,
    "can't be written to",
    "check the modes of its files and its folder, and that the disk isn't mounted read-only",
  ],
  10: [500, "has a failing disk", "see what the system's log says of the disk"],
  11: [500, "is damaged", "restore it from a backup"],
  13: [507, "has no room left on its disk", "make room; nothing else is needed"],
}

type Failure = SqlError.SqlError | Schema.SchemaError | StorageError

const isFailure = (error: unknown): error is Failure =>
  SqlError.isSqlError(error) || Schema.isSchemaError(error) || error instanceof StorageError

const failureOf = (error: unknown) => {
  const cause = SqlError.isSqlError(error) ? error.reason.cause : undefined
  return cause instanceof Error && "errcode" in cause ? FAILURES[Number(cause.errcode) & 0xff] : undefined
}

/**
 * Turns a failure of the database into the error that a plugin or a REST client sees: 500, or 503 and 507 for what
 * passes. What failed goes to the log, since its text may hold more than a caller should know.
 */
export const storing =
  (where: string) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, Exclude<E, Failure> | PluginApiError, R> =>
    Effect.catchIf(
      self,
      (error): error is Extract<E, Failure> => isFailure(error),
      (failure) => {
        const error = failure instanceof StorageError ? (failure.cause ?? failure) : failure
        const known = failureOf(error)
        const [statusCode, message, cure] = known ?? [500, "failed", "what happened is below"]
        const details = known === undefined ? [error] : []
        return Effect.andThen(
          Effect.logError(`${where}: the workspace's database ${message}; ${cure}`, ...details),
          new PluginApiError({
            id: "app.workspace.database.app_error",
            message: `The workspace's database ${message}; see the host's log`,
            statusCode,
            where,
          }),
        )
      },
    ) as never
