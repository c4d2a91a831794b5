import { Clock, Context, Duration, Effect, Layer, Schedule, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { PluginApiError } from "../api/PluginApi.ts"
import { tooMany } from "./Paging.ts"
import { invalid, storing } from "./WorkspaceError.ts"
import { WorkspaceLimits } from "./WorkspaceLimits.ts"

/** The longest key, in characters (Mattermost). */
export const MAX_KEY_LENGTH = 150

/** How many keys a list has when its caller names no number (Mattermost). */
const DEFAULT_LIST_LENGTH = 10

/** How often values that have expired, and can't be read any more, are deleted. */
const PURGE_INTERVAL = Duration.days(1)

/** How a value is set. An empty `oldValue` stands for no value: the contract can't tell them apart. */
export interface KeyValueSetOptions {
  /** Set only if the current value is `oldValue`. */
  readonly atomic: boolean
  /** Goes only with `atomic`. */
  readonly oldValue: Uint8Array
  /** 0 for never; what is negative has expired already. */
  readonly expireInSeconds: bigint
}

const NO_VALUE = new Uint8Array()

/** A value without conditions that never expires. */
export const setAlways: KeyValueSetOptions = { atomic: false, oldValue: NO_VALUE, expireInSeconds: 0n }

/** A value that replaces `oldValue` and no other; it never expires. */
export const setIfUnchanged = (oldValue: Uint8Array): KeyValueSetOptions => ({ ...setAlways, atomic: true, oldValue })

/** The plugins' keys and values, each plugin's apart. An empty value is none: setting it deletes the key. */
export class KeyValueStore extends Context.Service<
  KeyValueStore,
  {
    /** A key's value; empty when there is none or it has expired. */
    readonly get: (pluginId: string, key: string) => Effect.Effect<Uint8Array, PluginApiError>
    /** Sets or deletes a value and answers whether it did: an atomic set finds the value changed at times. */
    readonly set: (
      pluginId: string,
      key: string,
      value: Uint8Array,
      options: KeyValueSetOptions,
    ) => Effect.Effect<boolean, PluginApiError>
    /** Deletes a key, if there is one. */
    readonly delete: (pluginId: string, key: string) => Effect.Effect<void, PluginApiError>
    /** Deletes all keys of a plugin. */
    readonly deleteAll: (pluginId: string) => Effect.Effect<void, PluginApiError>
    /** A page of a plugin's keys, in the order of their UTF-8 bytes; 10 when `perPage` is not positive. */
    readonly list: (
      pluginId: string,
      page: number,
      perPage: number,
    ) => Effect.Effect<ReadonlyArray<string>, PluginApiError>
  }
>()("effect-plugin-supervisor/workspace/KeyValueStore") {
  static readonly layer: Layer.Layer<KeyValueStore, never, SqlClient.SqlClient> = Layer.effect(
    KeyValueStore,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { keyValue, pageItems } = yield* WorkspaceLimits

      const get = Effect.fnUntraced(function* (pluginId: string, key: string) {
        const now = yield* Clock.currentTimeMillis
        // A larger one, from a time without this limit, is not even read.
        const rows = yield* decodeValues(
          yield* sql`SELECT CASE WHEN length(value) <= ${keyValue} THEN value END AS value FROM plugin_key_values
            WHERE plugin_id = ${pluginId} AND key = ${key} AND ${live(now)}`,
        )
        const [row] = rows
        return row === undefined ? NO_VALUE : (row.value ?? (yield* tooLarge(keyValue)))
      }, storing("KeyValueStore.get"))

      const live = (now: number) => sql`(expire_at = 0 OR expire_at > ${now})`

      const remove = (pluginId: string, key: string) =>
        sql`DELETE FROM plugin_key_values WHERE plugin_id = ${pluginId} AND key = ${key}`

      const set = Effect.fnUntraced(function* (
        pluginId: string,
        key: string,
        value: Uint8Array,
        options: KeyValueSetOptions,
      ) {
        yield* validate(key, options)
        if (value.length > keyValue) return yield* tooLarge(keyValue)
        const now = yield* Clock.currentTimeMillis
        if (!options.atomic) {
          if (value.length === 0) yield* remove(pluginId, key)
          else {
            yield* sql`INSERT INTO plugin_key_values ${sql.insert({ plugin_id: pluginId, key, value, expire_at: expiry(now, options) })}
              ON CONFLICT (plugin_id, key) DO UPDATE SET value = excluded.value, expire_at = excluded.expire_at`
          }
          return true
        }
        if (options.oldValue.length === 0) {
          if (value.length === 0) return false
          // A row that has expired counts as absent, so it is taken over in place.
          const inserted =
            yield* sql`INSERT INTO plugin_key_values ${sql.insert({ plugin_id: pluginId, key, value, expire_at: expiry(now, options) })}
              ON CONFLICT (plugin_id, key) DO UPDATE SET value = excluded.value, expire_at = excluded.expire_at
              WHERE plugin_key_values.expire_at <> 0 AND plugin_key_values.expire_at <= ${now}
              RETURNING key`
          return inserted.length === 1
        }
        const unchanged = sql`plugin_id = ${pluginId} AND key = ${key} AND value = ${options.oldValue} AND ${live(now)}`
        const changed =
          value.length === 0
            ? yield* sql`DELETE FROM plugin_key_values WHERE ${unchanged} RETURNING key`
            : yield* sql`UPDATE plugin_key_values SET value = ${value}, expire_at = ${expiry(now, options)}
                WHERE ${unchanged} RETURNING key`
        return changed.length === 1
      }, storing("KeyValueStore.set"))

      const list = Effect.fnUntraced(function* (pluginId: string, page: number, perPage: number) {
        const now = yield* Clock.currentTimeMillis
        const limit = perPage > 0 ? perPage : DEFAULT_LIST_LENGTH
        if (limit > pageItems) return yield* tooMany("per_page", limit, pageItems)
        const rows = yield* decodeKeys(
          yield* sql`SELECT key FROM plugin_key_values WHERE plugin_id = ${pluginId} AND ${live(now)}
            ORDER BY key LIMIT ${limit} OFFSET ${Math.max(0, page * perPage)}`,
        )
        return rows.map(({ key }) => key)
      }, storing("KeyValueStore.list"))

      const purge = Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        yield* sql`DELETE FROM plugin_key_values WHERE expire_at <> 0 AND expire_at <= ${now}`
      }).pipe(storing("KeyValueStore.purge"), Effect.ignore)
      yield* Effect.forkScoped(Effect.repeat(purge, Schedule.spaced(PURGE_INTERVAL)))

      return {
        get,
        set,
        delete: (pluginId, key) => Effect.asVoid(remove(pluginId, key)).pipe(storing("KeyValueStore.delete")),
        deleteAll: (pluginId) =>
          Effect.asVoid(sql`DELETE FROM plugin_key_values WHERE plugin_id = ${pluginId}`).pipe(
            storing("KeyValueStore.deleteAll"),
          ),
        list,
      }
    }),
  )
}

const decodeValues = Schema.decodeUnknownEffect(
  Schema.Array(Schema.Struct({ value: Schema.NullOr(Schema.Uint8Array) })),
)
const decodeKeys = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ key: Schema.String })))

const validate = (key: string, options: KeyValueSetOptions): Effect.Effect<void, PluginApiError> => {
  if (!options.atomic && options.oldValue.length > 0) {
    return Effect.fail(
      invalid("model.plugin_kvset_options.is_valid.old_value.app_error", "An old value goes only with an atomic set"),
    )
  }
  const { length } = Array.from(key)
  return length >= 1 && length <= MAX_KEY_LENGTH
    ? Effect.void
    : Effect.fail(
        invalid(
          "model.plugin_key_value.is_valid.key.app_error",
          `A key has 1 to ${MAX_KEY_LENGTH} characters, this one has ${length}`,
        ),
      )
}

const tooLarge = (limit: number) =>
  new PluginApiError({
    id: "app.plugin_store.save.too_large.app_error",
    message: `A value has up to ${limit} bytes; keep larger ones in parts, or as files`,
    statusCode: 413,
  })

/** The time of expiry in milliseconds; 0 for never, so a time that comes out as 0 becomes another one in the past. */
const expiry = (now: number, { expireInSeconds }: KeyValueSetOptions): number => {
  if (expireInSeconds === 0n) return 0
  const at = now + Number(expireInSeconds) * 1000
  return Math.min(Math.max(at === 0 ? -1 : at, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER)
}
