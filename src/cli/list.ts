import { Effect, Schema } from "effect"
import { Command } from "effect/cli"
import { HttpClientRequest } from "effect/http"
import { daemonFlags, withDaemon } from "./Daemon.ts"
import { enabledPlugins } from "./enabledPlugins.ts"
import { type Cell, enabledCell, printJson, printLine, printTable } from "./Output.ts"

const Listed = Schema.StructWithRest(
  Schema.Struct({ id: Schema.String, name: Schema.String, version: Schema.optionalKey(Schema.String) }),
  [Schema.Record(Schema.String, Schema.Unknown)],
)
const Lists = Schema.Struct({ active: Schema.Array(Listed), inactive: Schema.Array(Listed) })

/** `plugin-supervisor list`. */
export const list = Command.make("list", daemonFlags, (flags) =>
  withDaemon(
    flags,
    Effect.fnUntraced(function* (daemon) {
      const lists = yield* daemon.read(HttpClientRequest.get("/api/v4/plugins"), Lists)
      if (flags.json) return yield* printJson(lists)
      const enabled = yield* enabledPlugins(daemon)
      const row =
        (state: "active" | "inactive") =>
        ({ id, name, version = "" }: typeof Listed.Type): ReadonlyArray<Cell> => [
          id,
          version,
          { text: state, paint: state === "active" ? "green" : "dim" },
          enabledCell(enabled.get(id) === true),
          name,
        ]
      const rows = [...lists.active.map(row("active")), ...lists.inactive.map(row("inactive"))]
      if (rows.length === 0) {
        return yield* printLine("There are no plugins yet; install one: plugin-supervisor install FILE|FOLDER|URL")
      }
      yield* printTable(["ID", "VERSION", "STATE", "ENABLED", "NAME"], rows)
    }),
  ),
).pipe(Command.withDescription("List the plugins of a running supervisor"))
