import { Duration, Effect, Stream } from "effect"
import { Sse } from "effect/encoding"
import { HttpServerResponse } from "effect/http"
import type { PluginLogLine } from "../environment/PluginLogs.ts"
import type { LogLineBody } from "./AdminApi.ts"

/** How often a log that says nothing sends a comment: proxies end connections that are idle for half a minute or more. */
export const HEARTBEAT: Duration.Duration = Duration.seconds(15)

/** When a client that lost its connection comes again. */
const RETRY = new Sse.Retry({ duration: Duration.seconds(1), lastEventId: undefined })

/** Bytes of one line's fields: whoever logs objects does not know how large they are. */
const MAX_FIELDS = 16 * 1024

/** A line as JSON. */
export const lineOf = ({ at, fields, level, message }: PluginLogLine): typeof LogLineBody.Type => ({
  at,
  level,
  message,
  fields: jsonOf(fields),
})

/** Fields as far as they are JSON: what logs may be anything, itself among it. */
const jsonOf = (fields: PluginLogLine["fields"]): (typeof LogLineBody.Type)["fields"] => {
  try {
    const text = JSON.stringify(fields)
    return text.length > MAX_FIELDS ? { cut: text.slice(0, MAX_FIELDS).toWellFormed() } : JSON.parse(text)
  } catch (error) {
    return { unreadable: String(error) }
  }
}

/** A log as server-sent events, which end when the client goes, or when `until` completes. */
export const logResponse = (
  lines: Stream.Stream<PluginLogLine>,
  until: Effect.Effect<void>,
  heartbeat: Duration.Input,
): HttpServerResponse.HttpServerResponse => {
  const events = Stream.map(lines, (line) =>
    Sse.encoder.write({ _tag: "Event", event: "message", id: undefined, data: JSON.stringify(lineOf(line)) }),
  )
  // The first one tells at once that the log is followed.
  const beats = Stream.map(Stream.tick(heartbeat), () => ": heartbeat\n\n")
  const text = Stream.merge(Stream.concat(Stream.make(Sse.encoder.write(RETRY)), events), beats)
  return HttpServerResponse.stream(Stream.encodeText(Stream.interruptWhen(text, until)), {
    contentType: "text/event-stream",
    // Also for proxies that collect what they pass on.
    headers: { "cache-control": "no-cache, no-transform", "x-accel-buffering": "no" },
  })
}
