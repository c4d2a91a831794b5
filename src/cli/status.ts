import { Duration, Effect, Option, Schema } from "effect"
import { Argument, Command } from "effect/cli"
import { HttpClientRequest } from "effect/http"
import { daemonFlags, pluginPath, withDaemon } from "./Daemon.ts"
import { type Cell, enabledCell, type Paint, printJson, printLine, printTable } from "./Output.ts"

const Status = Schema.StructWithRest(
  Schema.Struct({
    plugin_id: Schema.String,
    name: Schema.String,
    version: Schema.String,
    plugin_path: Schema.String,
    state_name: Schema.String,
    state_since: Schema.Finite,
    is_enabled: Schema.Boolean,
    error: Schema.String,
    settings_error: Schema.String,
    restarts: Schema.Finite,
    next_try: Schema.Finite,
    provisioning: Schema.NullOr(Schema.Struct({ step: Schema.String, line: Schema.String })),
    last_failure: Schema.NullOr(
      Schema.Struct({
        at: Schema.Finite,
        reason: Schema.String,
        exit: Schema.optionalKey(Schema.String),
        stderr: Schema.Array(Schema.String),
      }),
    ),
    hooks: Schema.Array(Schema.String),
    hooks_told: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
  }),
  [Schema.Record(Schema.String, Schema.Unknown)],
)
type Status = typeof Status.Type

const Health = Schema.StructWithRest(
  Schema.Struct({
    ...Status.schema.fields,
    pid: Schema.NullOr(Schema.Finite),
    ping: Schema.NullOr(Schema.Struct({ answered: Schema.Boolean, millis: Schema.Finite, error: Schema.String })),
    in_flight: Schema.Finite,
  }),
  [Schema.Record(Schema.String, Schema.Unknown)],
)

const PAINTS: { readonly [state: string]: Paint } = {
  Running: "green",
  NotRunning: "dim",
  FailedToStart: "red",
  FailedToStayRunning: "red",
}

const stateCell = ({ state_name }: Status): Cell => ({ text: state_name, paint: PAINTS[state_name] ?? "yellow" })

/** How long it is from one time to another, in two units at most. */
const span = (from: number, to: number): string => {
  const seconds = Math.max(0, Math.round((to - from) / 1000))
  return seconds === 0 ? "now" : Duration.format(Duration.seconds(seconds)).split(" ").slice(0, 2).join(" ")
}

const ago = (from: number, to: number): string => {
  const time = span(from, to)
  return time === "now" ? "just now" : `${time} ago`
}

/** `plugin-supervisor status [ID]`. */
export const status = Command.make(
  "status",
  {
    id: Argument.String("id").pipe(
      Argument.withDescription("Id of the plugin that all is told of. Default: every plugin, in short"),
      Argument.optional,
    ),
    ...daemonFlags,
  },
  ({ id, ...flags }) =>
    withDaemon(
      flags,
      Effect.fnUntraced(function* ({ read }) {
        const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        if (Option.isNone(id)) {
          const all = yield* read(HttpClientRequest.get("/api/v4/plugins/statuses"), Schema.Array(Status))
          if (flags.json) return yield* printJson(all)
          return yield* printTable(
            ["ID", "VERSION", "STATE", "ENABLED", "SINCE", "RESTARTS", "ERROR"],
            all.map((one) => [
              one.plugin_id,
              one.version,
              stateCell(one),
              enabledCell(one.is_enabled),
              one.state_since === 0 ? "" : span(one.state_since, now),
              String(one.restarts),
              one.error,
            ]),
          )
        }
        const one = yield* read(HttpClientRequest.get(pluginPath(id.value, "/health")), Health)
        if (flags.json) return yield* printJson(one)
        yield* show(one, now)
      }),
    ),
).pipe(Command.withDescription("Tell the states of the plugins, or all about one"))

const show = Effect.fnUntraced(function* (one: typeof Health.Type, now: number) {
  const line = (name: string, ...cells: ReadonlyArray<Cell>) =>
    printLine({ text: name.padEnd(9), paint: "dim" }, ...cells)
  yield* printLine({ text: one.plugin_id, paint: "bold" }, one.version, one.name)
  yield* line("state", stateCell(one), ...(one.state_since === 0 ? [] : [`for ${span(one.state_since, now)}`]))
  yield* line("enabled", enabledCell(one.is_enabled))
  // What keeps it from running is told once: as its last failure, where it is that.
  if (one.error !== "" && one.error !== one.last_failure?.reason) {
    yield* line("error", { text: one.error, paint: "red" })
  }
  if (one.settings_error !== "") yield* line("settings", { text: one.settings_error, paint: "red" })
  if (one.next_try > 0) yield* line("next try", `in ${span(now, one.next_try)}`)
  if (one.provisioning !== null) yield* line("packages", `${one.provisioning.step} ${one.provisioning.line}`.trim())
  if (one.pid !== null) yield* line("process", String(one.pid))
  if (one.ping !== null) {
    const { answered, error, millis } = one.ping
    const answer: Cell = answered ? `answers after ${Math.round(millis)} ms` : { text: error, paint: "red" }
    yield* line("health", answer, `with ${one.in_flight} calls and requests in flight`)
  }
  yield* line("restarts", String(one.restarts))
  if (one.last_failure !== null) {
    const { at, exit, reason, stderr } = one.last_failure
    const ended = exit === undefined || reason.includes(exit) ? "" : ` (${exit})`
    yield* line("failed", `${ago(at, now)}: ${reason}${ended}`)
    const told = new Set(reason.split("\n").map((text) => text.trim()))
    for (const text of stderr.filter((text) => !told.has(text.trim()))) yield* line("", { text, paint: "dim" })
  }
  yield* line("folder", one.plugin_path)
  if (one.hooks_told === false) yield* line("hooks", "not told: the plugin serves no Implemented")
  if (one.hooks.length > 0) yield* line("hooks", one.hooks.join(", "))
})
