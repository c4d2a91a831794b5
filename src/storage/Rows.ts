import { Effect, Schema } from "effect"

/** How long rows are decoded before others get their turn, in milliseconds: a page may have many, and large ones. */
const SLICE_MILLIS = 10

/** Of how many unreadable rows is remembered that the log tells of them: each is told of once. */
const MAX_TOLD = 1000

/** What is stored can't be read: another program has written it, or an earlier version. */
export class UnreadableError extends Schema.TaggedError<UnreadableError>()("UnreadableError", {
  /** What it is, for example `settings of plugin`. */
  what: Schema.String,
  id: Schema.String,
}) {
  override get message(): string {
    return `the stored ${this.what} ${this.id} can't be read; the host's log tells why`
  }
}

/** Reads the rows of a table. All queries answer the row's `id` as well, for the log. */
export interface RowReader<A, E = UnreadableError> {
  /** Those that can be read. One that can't be takes none of the others with it: it is left out, and logged. */
  readonly all: (rows: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<A>>
  /** The first; `undefined` when there is none. One that is there and can't be read is an error, and logged. */
  readonly first: (rows: ReadonlyArray<unknown>) => Effect.Effect<A | undefined, E>
}

/** A reader of rows that `schema` tells how to read; `what` names one of them, for people. */
export const rowReader = <A, E>(what: string, schema: Schema.Codec<A, E>): RowReader<A> => {
  const decode = Schema.decodeUnknownEffect(schema)
  const told = new Set<unknown>()

  const unreadable = (row: unknown, error: Schema.SchemaError) =>
    Effect.suspend(() => {
      const id = (row as { readonly id?: unknown }).id
      if (told.has(id)) return Effect.void
      if (told.size < MAX_TOLD) told.add(id)
      return Effect.logError(
        `the stored ${what} ${String(id)} can't be read and is left out: ${error.message}; it is still in the database`,
      )
    })

  return {
    all: Effect.fnUntraced(function* (rows) {
      const read: Array<A> = []
      let began = performance.now()
      for (const row of rows) {
        const result = yield* Effect.result(decode(row))
        if (result._tag === "Success") read.push(result.success)
        else yield* unreadable(row, result.failure)
        if (performance.now() - began > SLICE_MILLIS) {
          yield* Effect.yieldNow
          began = performance.now()
        }
      }
      return read
    }),
    first: Effect.fnUntraced(function* ([row]) {
      if (row === undefined) return undefined
      return yield* Effect.catch(decode(row), (error) =>
        Effect.andThen(
          unreadable(row, error),
          new UnreadableError({ what, id: String((row as { readonly id?: unknown }).id) }),
        ),
      )
    }),
  }
}
