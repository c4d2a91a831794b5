import { Effect, Schema } from "effect"
import { HttpClientRequest } from "effect/http"
import type { CommandError } from "./CommandError.ts"
import type { Daemon } from "./Daemon.ts"

const Statuses = Schema.Array(Schema.Struct({ plugin_id: Schema.String, is_enabled: Schema.Boolean }))

/** Whether plugins are enabled, by their ids. */
export const enabledPlugins = ({ read }: Daemon): Effect.Effect<ReadonlyMap<string, boolean>, CommandError> =>
  Effect.map(
    read(HttpClientRequest.get("/api/v4/plugins/statuses"), Statuses),
    (all) => new Map(all.map(({ is_enabled, plugin_id }) => [plugin_id, is_enabled])),
  )
