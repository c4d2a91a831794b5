import { Clock, Context, Duration, Effect, Layer, Option, Schedule, Schema, type Scope } from "effect"
import { SqlClient, type Statement } from "effect/sql"
import { storedWith } from "../bundle/HeldStorage.ts"
import { type StorageError, storing } from "./StorageError.ts"
import { StorageLimits } from "./StorageLimits.ts"
import { type StorageOpenError, storageTables } from "./StorageTables.ts"

/**
 * The longest key, in characters. PostgreSQL's index takes up to 2704 bytes of a plugin's id and a key, and a character
 * may have four.
 */
export const MAX_KEY_LENGTH = 500

/** How many keys a list has when its caller names no number. */
export const LIST_LENGTH = 100

/** How often values that have expired, and can't be read any more, are deleted. */
const PURGE_INTERVAL = Duration.days(1)

/** A key that no value can have. */
export class BadKeyError extends Schema.TaggedError<BadKeyError>()("BadKeyError", {
  pluginId: Schema.String,
  /** What is wrong with it. */
  reason: Schema.String,
}) {
  override get message(): string {
    return `a key of the plugin ${this.pluginId} ${this.reason}; a key has 1 to ${MAX_KEY_LENGTH} characters of Unicode, and no U+0000`
  }
}

/** A value that is larger than those that are stored (see `StorageLimits`). */
export class ValueTooLargeError extends Schema.TaggedError<ValueTooLargeError>()("ValueTooLargeError", {
  pluginId: Schema.String,
  key: Schema.String,
  /** The largest, in bytes. */
  limit: Schema.Number,
}) {
  override get message(): string {
    return `the value of ${JSON.stringify(this.key)} of the plugin ${this.pluginId} has more than ${this.limit} bytes; keep larger ones in parts, or as files`
  }
}

/** How a value is set. */
export interface SetValueOptions {
  /** From now. Unset or infinite for never; a value that is not set again meanwhile is gone then. */
  readonly expiresIn?: Duration.Input | undefined
  /** Set only if there is no value (`absent`), or if this is the value there is. Unset: whatever there is. */
  readonly condition?: "absent" | { readonly equals: Uint8Array } | undefined
}

/** Which keys are listed: of those that begin with `prefix` and come after `after`, `limit` from `offset`. */
export interface ListKeysOptions {
  readonly prefix?: string | undefined
  /** The last key of the page before; itself it is not listed. */
  readonly after?: string | undefined
  /** How many of them are passed over, for callers that count pages. `after` is as fast for the last page as for the first. */
  readonly offset?: number | undefined
  /** {@link LIST_LENGTH} when it is not positive. */
  readonly limit?: number | undefined
}

/**
 * The plugins' keys and values, each plugin's apart. An empty value is a value. A value that has expired is none, for
 * all that is here.
 */
export class KeyValues extends Context.Service<
  KeyValues,
  {
    /** A key's value. One from a time without today's limit is not read ({@link ValueTooLargeError}). */
    readonly get: (
      pluginId: string,
      key: string,
    ) => Effect.Effect<Option.Option<Uint8Array>, ValueTooLargeError | StorageError>
    /**
     * Sets a value, if the condition is met, and answers whether it was. Of many hosts and fibers that set a key at the
     * same time on the same condition, one does.
     */
    readonly set: (
      pluginId: string,
      key: string,
      value: Uint8Array,
      options?: SetValueOptions,
    ) => Effect.Effect<boolean, BadKeyError | ValueTooLargeError | StorageError>
    /** Deletes a key, with `equals` only if that is its value, and answers whether there was one to delete. */
    readonly delete: (
      pluginId: string,
      key: string,
      options?: { readonly equals?: Uint8Array | undefined },
    ) => Effect.Effect<boolean, StorageError>
    /** Deletes all keys of a plugin. */
    readonly deleteAll: (pluginId: string) => Effect.Effect<void, StorageError>
    /** A plugin's keys in the order of their UTF-8 bytes. */
    readonly list: (
      pluginId: string,
      options?: ListKeysOptions,
    ) => Effect.Effect<ReadonlyArray<string>, BadKeyError | StorageError>
  }
>()("effect-plugin-supervisor/storage/KeyValues") {
  /** On tables that are there. Values that have expired are deleted daily while the Scope is open. */
  static readonly make: Effect.Effect<KeyValues["Service"], never, SqlClient.SqlClient | Scope.Scope> = Effect.suspend(
    () => make,
  )

  /** On any `SqlClient` of SQLite or PostgreSQL, in tables that are made when they are missing. */
  static readonly layer: Layer.Layer<KeyValues, StorageOpenError, SqlClient.SqlClient> = Layer.effect(
    KeyValues,
    KeyValues.make,
  ).pipe(Layer.provide(storageTables))
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { value: maxBytes } = yield* StorageLimits

  const live = (now: number) => sql`(expire_at = 0 OR expire_at > ${now})`
  const isKey = (pluginId: string, key: string) => sql`plugin_id = ${pluginId} AND key = ${key}`
  const changesOne = (statement: Statement.Statement<unknown>) => Effect.map(statement, (rows) => rows.length === 1)

  const get = Effect.fnUntraced(function* (pluginId: string, key: string) {
    if (keyProblem(key) !== undefined) return Option.none()
    const now = yield* Clock.currentTimeMillis
    const [row] = yield* decodeValues(
      yield* sql`SELECT CASE WHEN length(value) <= ${maxBytes} THEN value END AS value FROM plugin_key_values
        WHERE ${isKey(pluginId, key)} AND ${live(now)}`,
    )
    if (row === undefined) return Option.none()
    return row.value === null
      ? yield* new ValueTooLargeError({ pluginId, key, limit: maxBytes })
      : Option.some(row.value)
  }, storing("KeyValues.get"))

  const set = Effect.fnUntraced(function* (
    pluginId: string,
    key: string,
    value: Uint8Array,
    { condition, expiresIn }: SetValueOptions = {},
  ) {
    const reason = keyProblem(key)
    if (reason !== undefined) return yield* new BadKeyError({ pluginId, reason })
    if (value.length > maxBytes) return yield* new ValueTooLargeError({ pluginId, key, limit: maxBytes })
    const now = yield* Clock.currentTimeMillis
    const expireAt = expiry(now, expiresIn)
    if (typeof condition === "object") {
      return yield* changesOne(sql`UPDATE plugin_key_values SET value = ${value}, expire_at = ${expireAt}
        WHERE ${isKey(pluginId, key)} AND value = ${condition.equals} AND ${live(now)} RETURNING key`)
    }
    // A row that has expired counts as absent, and is taken over in place.
    const replaced =
      condition === "absent"
        ? sql`WHERE plugin_key_values.expire_at <> 0 AND plugin_key_values.expire_at <= ${now}`
        : sql.literal("")
    return yield* changesOne(sql`INSERT INTO plugin_key_values
      ${sql.insert({ plugin_id: pluginId, key, value, expire_at: expireAt })}
      ON CONFLICT (plugin_id, key) DO UPDATE SET value = excluded.value, expire_at = excluded.expire_at ${replaced}
      RETURNING key`)
  }, storing("KeyValues.set"))

  const remove = Effect.fnUntraced(function* (
    pluginId: string,
    key: string,
    { equals }: { readonly equals?: Uint8Array | undefined } = {},
  ) {
    if (keyProblem(key) !== undefined) return false
    const now = yield* Clock.currentTimeMillis
    const same = equals === undefined ? sql.literal("") : sql`AND value = ${equals}`
    return yield* changesOne(
      sql`DELETE FROM plugin_key_values WHERE ${isKey(pluginId, key)} AND ${live(now)} ${same} RETURNING key`,
    )
  }, storing("KeyValues.delete"))

  const list = Effect.fnUntraced(function* (
    pluginId: string,
    { after = "", limit = 0, offset = 0, prefix = "" }: ListKeysOptions = {},
  ) {
    const reason = textProblem(after) ?? textProblem(prefix)
    if (reason !== undefined) return yield* new BadKeyError({ pluginId, reason })
    const now = yield* Clock.currentTimeMillis
    const end = endOf(prefix)
    const rows = yield* decodeKeys(
      yield* sql`SELECT key FROM plugin_key_values
        WHERE plugin_id = ${pluginId} AND key > ${after} AND key >= ${prefix}
          ${end === undefined ? sql.literal("") : sql`AND key < ${end}`} AND ${live(now)}
        ORDER BY key LIMIT ${limit > 0 ? limit : LIST_LENGTH} OFFSET ${Math.max(0, offset)}`,
    )
    return rows.map(({ key }) => key)
  }, storing("KeyValues.list"))

  const purge = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    yield* sql`DELETE FROM plugin_key_values WHERE expire_at <> 0 AND expire_at <= ${now}`
  }).pipe(
    storing("KeyValues.purge"),
    Effect.catch((error) => Effect.logWarning(`values that have expired stay a day longer: ${error.message}`)),
  )
  yield* Effect.forkScoped(Effect.repeat(purge, Schedule.spaced(PURGE_INTERVAL)))

  const service = KeyValues.of({
    get,
    set,
    delete: remove,
    deleteAll: (pluginId) =>
      Effect.asVoid(sql`DELETE FROM plugin_key_values WHERE plugin_id = ${pluginId}`).pipe(
        storing("KeyValues.deleteAll"),
      ),
    list,
  })
  return storedWith(service, sql)
})

const decodeValues = Schema.decodeUnknownEffect(
  Schema.Array(Schema.Struct({ value: Schema.NullOr(Schema.Uint8Array) })),
)
const decodeKeys = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ key: Schema.String })))

/** Why a text can't be in a key. PostgreSQL has no U+0000, and what is no Unicode would come back as another text. */
const textProblem = (text: string): string | undefined => {
  if (text.includes("\0")) return "has the character U+0000"
  return text.isWellFormed() ? undefined : "is no Unicode: it has half a surrogate pair"
}

/** Why nothing is stored under a key. */
const keyProblem = (key: string): string | undefined => {
  const { length } = Array.from(key)
  if (length === 0) return "is empty"
  return length > MAX_KEY_LENGTH ? `has ${length} characters` : textProblem(key)
}

/** The first text after all those with a prefix; nothing when there is none. */
const endOf = (prefix: string): string | undefined => {
  const characters = Array.from(prefix, (character) => character.codePointAt(0)!)
  while (characters.length > 0) {
    const last = characters.pop()!
    // Surrogates are no characters.
    if (last < 0x10ffff) return String.fromCodePoint(...characters, last === 0xd7ff ? 0xe000 : last + 1)
  }
  return undefined
}

/** The time of expiry in milliseconds; 0 for never, so a time that comes out as 0 becomes another one in the past. */
const expiry = (now: number, expiresIn: Duration.Input | undefined): number => {
  const millis = expiresIn === undefined ? Number.POSITIVE_INFINITY : Duration.toMillis(expiresIn)
  if (millis === Number.POSITIVE_INFINITY) return 0
  const at = Math.floor(now + millis)
  return Math.min(Math.max(at === 0 ? -1 : at, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER)
}
