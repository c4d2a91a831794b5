import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { PluginApiError } from "../api/PluginApi.ts"
import { storing } from "./WorkspaceError.ts"

/** What the workspace knows of itself. */
export const SystemValues = Schema.Struct({
  /** When the workspace was made, in milliseconds. */
  install_date: Schema.NumberFromString,
  /** An id of the installation, made at random. */
  diagnostic_id: Schema.String,
  /** The user that programs with the workspace's access token act as. */
  admin_id: Schema.String,
})
export type SystemValues = typeof SystemValues.Type

/** Keeps {@link SystemValues}. */
export class SystemStore extends Context.Service<
  SystemStore,
  {
    /** `None` in a workspace that is new. */
    readonly get: Effect.Effect<Option.Option<SystemValues>, PluginApiError>
    /** Writes the values of a workspace that is new. */
    readonly create: (values: SystemValues) => Effect.Effect<void, PluginApiError>
  }
>()("effect-plugin-supervisor/workspace/SystemStore") {
  static readonly layer: Layer.Layer<SystemStore, never, SqlClient.SqlClient> = Layer.effect(
    SystemStore,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      return {
        get: sql`SELECT name, value FROM system`.pipe(
          Effect.flatMap(decodeRows),
          Effect.flatMap((rows) =>
            rows.length === 0
              ? Effect.succeedNone
              : Effect.asSome(decode(Object.fromEntries(rows.map(({ name, value }) => [name, value])))),
          ),
          storing("SystemStore.get"),
        ),
        create: Effect.fnUntraced(function* (values: SystemValues) {
          yield* Effect.forEach(
            Object.entries(yield* encode(values)),
            ([name, value]) => sql`INSERT INTO system ${sql.insert({ name, value })}`,
            { discard: true },
          )
        }, storing("SystemStore.create")),
      }
    }),
  )
}

const decodeRows = Schema.decodeUnknownEffect(
  Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.String })),
)
const decode = Schema.decodeUnknownEffect(SystemValues)
const encode = Schema.encodeEffect(SystemValues)
