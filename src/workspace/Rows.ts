import { Effect, type Schema } from "effect"
import { PluginApiError } from "../api/PluginApi.ts"
import { type RowReader, rowReader as readerOf, type UnreadableError } from "../storage/Rows.ts"

/** A reader of rows that `schema` tells how to read; `what` names one of them, for people. */
export const rowReader = <A, E>(what: string, schema: Schema.Codec<A, E>): RowReader<A, PluginApiError> => {
  const { all, first } = readerOf(what, schema)
  return { all, first: (rows) => Effect.mapError(first(rows), unreadable) }
}

/** The error (500) of what can't be read. */
export const unreadable = ({ what }: UnreadableError): PluginApiError =>
  new PluginApiError({
    id: "app.workspace.unreadable.app_error",
    message: `The stored ${what} can't be read; see the host's log`,
    statusCode: 500,
  })
