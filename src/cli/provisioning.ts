import { Effect, Schema } from "effect"
import { HttpClientRequest } from "effect/http"
import type { CommandError } from "./CommandError.ts"
import type { Daemon } from "./Daemon.ts"

const Statuses = Schema.Array(
  Schema.Struct({
    plugin_id: Schema.String,
    provisioning: Schema.NullOr(Schema.Struct({ step: Schema.String, line: Schema.String })),
  }),
)

/** How far the Python environment is that is made for a plugin, or for any; nothing where none is made. */
export const provisioning = ({ read }: Daemon, id?: string): Effect.Effect<string, CommandError> =>
  Effect.map(read(HttpClientRequest.get("/api/v4/plugins/statuses"), Statuses), (all) => {
    const made = all.find(
      (one) => one.provisioning !== null && (id === undefined || one.plugin_id === id.toLowerCase()),
    )
    if (made?.provisioning == null) return ""
    const { line, step } = made.provisioning
    return `the Python environment of ${made.plugin_id}, ${step}${line === "" ? "" : `: ${line}`}`
  })
