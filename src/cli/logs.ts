import { Effect, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { HttpClientRequest } from "effect/http"
import { CommandError, EXIT, failed } from "./CommandError.ts"
import { daemonFlags, pluginPath, withDaemon } from "./Daemon.ts"
import { type Cell, type Paint, printJsonLine, printLine } from "./Output.ts"
import { pluginId } from "./PluginId.ts"

const Line = Schema.Struct({
  at: Schema.Finite,
  level: Schema.String,
  message: Schema.String,
  fields: Schema.Record(Schema.String, Schema.Unknown),
})
type Line = typeof Line.Type

/** `plugin-supervisor logs ID`. */
export const logs = Command.make(
  "logs",
  {
    id: pluginId,
    follow: Flag.Boolean("follow").pipe(
      Flag.withAlias("f"),
      Flag.withDescription("Go on with the lines to come, until Ctrl+C"),
      Flag.withDefault(false),
    ),
    count: Flag.Int("count").pipe(
      Flag.withAlias("n"),
      Flag.withDescription("How many of the last lines there are. Default 100"),
      Flag.filter(
        (count) => count >= 1 && count <= 1000,
        () => "a number from 1 to 1000",
      ),
      Flag.withDefault(100),
    ),
    ...daemonFlags,
  },
  ({ count, follow, id, ...flags }) =>
    withDaemon(
      flags,
      Effect.fnUntraced(function* ({ events, read, url }) {
        const print = flags.json ? printJsonLine : printLog
        // First, so that no line is lost in between; those that are in both are not told twice.
        const coming = follow ? yield* events(HttpClientRequest.get(pluginPath(id, "/logs/follow"))) : Stream.empty
        const request = HttpClientRequest.get(pluginPath(id, "/logs"), { urlParams: { count } })
        const tail = yield* read(request, Schema.Array(Line))
        yield* Effect.forEach(tail, print, { discard: true })
        if (!follow) return
        const last = tail.at(-1)?.at ?? 0
        const seen = new Set(tail.filter(({ at }) => at === last).map((line) => JSON.stringify(line)))
        const isNew = (line: Line) => line.at > last || (line.at === last && !seen.has(JSON.stringify(line)))
        yield* coming.pipe(
          Stream.filter((data) => data !== ""),
          Stream.mapEffect((data) =>
            Effect.mapError(decodeLine(data), () => failed(`${url} sends what is no line of a log`)),
          ),
          Stream.filter(isNew),
          Stream.runForEach(print),
        )
        return yield* new CommandError({
          message: `the plugin supervisor at ${url} has ended the log; it was stopped, or the plugin was removed`,
          exitCode: EXIT.unreachable,
        })
      }),
    ),
).pipe(Command.withDescription("Show the log of a plugin"))

const decodeLine = Schema.decodeUnknownEffect(Schema.fromJsonString(Line))

const PAINTS: { readonly [level: string]: Paint } = { Error: "red", Fatal: "red", Warn: "yellow", Debug: "dim" }

const printLog = ({ at, fields, level, message }: Line) => {
  const paint = PAINTS[level]
  const text = level.toUpperCase().padEnd(5)
  const rest = Object.entries(fields).map(([name, value]): Cell => ({
    text: `${name}=${JSON.stringify(value)}`,
    paint: "dim",
  }))
  return printLine(
    { text: new Date(at).toISOString(), paint: "dim" },
    paint === undefined ? text : { text, paint },
    message,
    ...rest,
  )
}
