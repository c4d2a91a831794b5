import { Effect, Schema } from "effect"
import { SqlError } from "effect/sql"
import { PluginApiError } from "../api/PluginApi.ts"

/** What was asked for does not exist (404). */
export const notFound = (id: string, what: string): PluginApiError =>
  new PluginApiError({ id, message: `There is no ${what}`, statusCode: 404 })

/** What was given breaks a rule (400). */
export const invalid = (id: string, message: string): PluginApiError =>
  new PluginApiError({ id, message, statusCode: 400 })

/** A field that a request can't do without. */
export const required = <A>(value: A | undefined, field: string): Effect.Effect<A, PluginApiError> =>
  value === undefined
    ? Effect.fail(invalid("api.context.invalid_body_param.app_error", `The request has no ${field}`))
    : Effect.succeed(value)

/**
 * Turns a failure of the database into the error (500) that a plugin or a REST client sees. What failed goes to the
 * log, since its text may hold more than a caller should know.
 */
export const storing =
  (where: string) =>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
  ): Effect.Effect<A, Exclude<E, SqlError.SqlError | Schema.SchemaError> | PluginApiError, R> =>
    Effect.catchIf(
      self,
      (error): error is Extract<E, SqlError.SqlError | Schema.SchemaError> =>
        SqlError.isSqlError(error) || Schema.isSchemaError(error),
      (error) =>
        Effect.andThen(
          Effect.logError(`${where}: the workspace's database failed`, error),
          new PluginApiError({
            id: "app.workspace.database.app_error",
            message: "The workspace's database failed; see the host's log",
            statusCode: 500,
            where,
          }),
        ),
    ) as never
