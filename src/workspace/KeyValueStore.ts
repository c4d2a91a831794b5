import { Context, Duration, Effect, Layer, Option } from "effect"
import type { SqlClient } from "effect/sql"
import { PluginApiError } from "../api/PluginApi.ts"
import { type BadKeyError, KeyValues, type ValueTooLargeError } from "../storage/KeyValues.ts"
import { StorageLimits } from "../storage/StorageLimits.ts"
import type { StorageError } from "../storage/StorageError.ts"
import { tooMany } from "./Paging.ts"
import { invalid, storing } from "./WorkspaceError.ts"
import { WorkspaceLimits } from "./WorkspaceLimits.ts"

/** The longest key, in characters (Mattermost). */
export const MAX_KEY_LENGTH = 150

/** How many keys a list has when its caller names no number (Mattermost). */
const DEFAULT_LIST_LENGTH = 10

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

/**
 * {@link KeyValues} as Mattermost's plugins know them: an empty value is none, so setting it deletes the key, and errors
 * have Mattermost's ids.
 */
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
      const { keyValue, pageItems } = yield* WorkspaceLimits
      const limits = { ...(yield* StorageLimits), value: keyValue }
      const values = yield* Effect.provideService(KeyValues.make, StorageLimits, limits)

      const set = Effect.fnUntraced(function* (
        pluginId: string,
        key: string,
        value: Uint8Array,
        options: KeyValueSetOptions,
      ) {
        yield* validate(key, options)
        const { atomic, expireInSeconds, oldValue } = options
        const expiresIn = expireInSeconds === 0n ? undefined : Duration.seconds(Number(expireInSeconds))
        if (!atomic) {
          if (value.length > 0) return yield* values.set(pluginId, key, value, { expiresIn })
          yield* values.delete(pluginId, key)
          return true
        }
        if (value.length === 0) {
          return oldValue.length > 0 && (yield* values.delete(pluginId, key, { equals: oldValue }))
        }
        const condition = oldValue.length === 0 ? "absent" : { equals: oldValue }
        return yield* values.set(pluginId, key, value, { condition, expiresIn })
      })

      const list = Effect.fnUntraced(function* (pluginId: string, page: number, perPage: number) {
        const limit = perPage > 0 ? perPage : DEFAULT_LIST_LENGTH
        if (limit > pageItems) return yield* tooMany("per_page", limit, pageItems)
        return yield* values.list(pluginId, { limit, offset: page * perPage })
      })

      return {
        get: (pluginId, key) =>
          values.get(pluginId, key).pipe(Effect.map(Option.getOrElse(() => NO_VALUE)), asApiError("KeyValueStore.get")),
        set: (pluginId, key, value, options) =>
          set(pluginId, key, value, options).pipe(asApiError("KeyValueStore.set")),
        delete: (pluginId, key) => Effect.asVoid(values.delete(pluginId, key)).pipe(asApiError("KeyValueStore.delete")),
        deleteAll: (pluginId) => values.deleteAll(pluginId).pipe(asApiError("KeyValueStore.deleteAll")),
        list: (pluginId, page, perPage) => list(pluginId, page, perPage).pipe(asApiError("KeyValueStore.list")),
      }
    }),
  )
}

const validate = (key: string, options: KeyValueSetOptions): Effect.Effect<void, PluginApiError> => {
  if (!options.atomic && options.oldValue.length > 0) {
    return Effect.fail(
      invalid("model.plugin_kvset_options.is_valid.old_value.app_error", "An old value goes only with an atomic set"),
    )
  }
  const { length } = Array.from(key)
  return length >= 1 && length <= MAX_KEY_LENGTH
    ? Effect.void
    : Effect.fail(badKey(`A key has 1 to ${MAX_KEY_LENGTH} characters, this one has ${length}`))
}

const badKey = (message: string) => invalid("model.plugin_key_value.is_valid.key.app_error", message)

const tooLarge = (limit: number) =>
  new PluginApiError({
    id: "app.plugin_store.save.too_large.app_error",
    message: `A value has up to ${limit} bytes; keep larger ones in parts, or as files`,
    statusCode: 413,
  })

/** The storage's errors as Mattermost's plugins know them. */
const asApiError =
  (where: string) =>
  <A, R>(
    self: Effect.Effect<A, PluginApiError | BadKeyError | ValueTooLargeError | StorageError, R>,
  ): Effect.Effect<A, PluginApiError, R> =>
    self.pipe(
      Effect.catchTags({
        BadKeyError: ({ reason }) => Effect.fail(badKey(`A key can't be stored that ${reason}`)),
        ValueTooLargeError: ({ limit }) => Effect.fail(tooLarge(limit)),
      }),
      storing(where),
    )
