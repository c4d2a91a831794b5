import type { IncomingMessage, ServerResponse } from "node:http"
import { Duration, Effect, Result, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import type { DirectAnswer } from "../hooks/Exchange.ts"
import type { PluginHttpResponse } from "../hooks/ServeHttp.ts"
import { end, endUnlessReceived, pour, writeChunk } from "./ClientConnection.ts"
import { type Field, fieldsOf, flatOf, hasNoBody, keyOf, responseFields } from "../hooks/HeaderRules.ts"
import type { HookClient } from "../hooks/Hooks.ts"
import { refusal } from "./Refusal.ts"

/** What a client is told of a plugin that fails; the rest is for the log. */
export const failed = (status: number, message: string, headers: { readonly [name: string]: string } = {}) =>
  refusal(status, "app.plugin.serve_http", message, headers)

export interface ResponseOptions {
  /** Names, in lower case, of fields that plugins may send although they speak for the whole origin. */
  readonly allowedHeaders: ReadonlySet<string>
  /** How long a client may take nothing. */
  readonly stallTimeout: Duration.Input
}

/** Tells the log of what a plugin has done. */
export const warn = (pluginId: string, text: string): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logWarning(text), { plugin_id: pluginId })

/**
 * How long a head waits for the first of its body, which mostly comes right behind it: sent together they cost half. Less
 * than anybody notices who waits for the head alone, as of server-sent events.
 */
const HEAD_DELAY = Duration.millis(5)

/**
 * Writes the head of a plugin's response, and answers what stops it from being sent alone; or what HTTP does not allow in
 * it. Not by way of `HttpServerResponse`, whose headers have one value each, and which holds the head back until there is a
 * body: a plugin's server-sent events may begin late.
 */
const writeHead = (
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  status: number,
  fields: ReadonlyArray<Field>,
  allowed: ReadonlySet<string>,
): Result.Result<() => void, string> =>
  Result.map(responseFields(fields, { allowed, status }), (kept) => {
    // A body shorter than its announced length must not look complete.
    outgoing.strictContentLength = true
    endUnlessReceived(incoming, outgoing)
    outgoing.writeHead(status, flatOf(kept))
    const flush = setTimeout(() => outgoing.flushHeaders(), Duration.toMillis(HEAD_DELAY))
    return () => clearTimeout(flush)
  })

/** Whether an answer is server-sent events, which have no end of their own. */
export const isEventStream = (fields: ReadonlyArray<Field>): boolean =>
  fields.some(([name, value]) => keyOf(name) === "content-type" && /^text\/event-stream\b/i.test(value))

/** Waits until a plugin's streams are to end, since its run does. */
export const streamsEnded = ({ inFlight }: HookClient): Effect.Effect<undefined> =>
  Effect.callback((resume) => Effect.sync(inFlight.stream(() => resume(Effect.undefined))))

/** How a response has come to its end. */
export type Written =
  | { readonly _tag: "Sent"; readonly status: number }
  /** Nothing of it has been sent. */
  | { readonly _tag: "Refused"; readonly reason: string }
  /** A part of it has been sent. */
  | { readonly _tag: "Cut"; readonly status: number; readonly error: Error }

/** Writes what a plugin's own HTTP server has answered; `done` is told how that ends. Answers how to stop. */
export const writeDirect = (
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { body, head, status }: Extract<DirectAnswer, { readonly _tag: "Response" }>,
  { allowedHeaders, stallTimeout }: ResponseOptions,
  done: (written: Written) => void,
): (() => void) => {
  const begun = writeHead(incoming, outgoing, status, fieldsOf(head), allowedHeaders)
  if (Result.isFailure(begun)) {
    done({ _tag: "Refused", reason: begun.failure })
    return () => {}
  }
  const stopFlush = begun.success
  const stop = pour(body, outgoing, hasNoBody(incoming.method ?? "GET", status), stallTimeout, (error) => {
    stopFlush()
    done(error === undefined ? { _tag: "Sent", status } : { _tag: "Cut", status, error })
  })
  return () => {
    stopFlush()
    stop()
  }
}

/** What becomes of a response that has come to its end: it has been sent, which is told to middlewares; the rest is logged. */
export const written = (
  pluginId: string,
  outgoing: () => ServerResponse,
  how: Written,
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  switch (how._tag) {
    case "Sent":
      return Effect.succeed(HttpServerResponse.empty({ status: how.status }))
    case "Refused":
      return Effect.as(warn(pluginId, `the plugin answered with ${how.reason}`), failed(500, "The plugin failed"))
    case "Cut":
      return warn(pluginId, `the plugin's response was cut off: ${how.error.message}`).pipe(
        Effect.andThen(cutOff(outgoing())),
        Effect.as(HttpServerResponse.empty({ status: how.status })),
      )
  }
}

/** Ends a connection whose client must not take its answer for whole, when what there is of that has gone out. */
const cutOff = (outgoing: ServerResponse): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    outgoing.flushHeaders()
    setImmediate(() => {
      outgoing.destroy()
      resume(Effect.void)
    })
  })

/** Writes what a plugin's `ServeHTTP` has answered, or a file of its bundle. */
export const writeResponse = (
  pluginId: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { body, headers, status }: PluginHttpResponse<Error>,
  { allowedHeaders, stallTimeout }: ResponseOptions,
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  const fields = headers.flatMap(([name, values]) => values.map((value): Field => [name, value]))
  const begun = writeHead(incoming, outgoing, status, fields, allowedHeaders)
  if (Result.isFailure(begun)) return written(pluginId, () => outgoing, { _tag: "Refused", reason: begun.failure })
  const isBodiless = hasNoBody(incoming.method ?? "GET", status)
  return Stream.runForEach(body, (bytes) =>
    isBodiless ? Effect.void : writeChunk(outgoing, bytes, stallTimeout),
  ).pipe(
    Effect.andThen(
      Effect.suspend(() => {
        const error = end(outgoing, stallTimeout)
        return error === undefined ? Effect.void : Effect.fail(error)
      }),
    ),
    Effect.ensuring(Effect.sync(begun.success)),
    Effect.matchEffect({
      onSuccess: () => written(pluginId, () => outgoing, { _tag: "Sent", status }),
      onFailure: (error) => written(pluginId, () => outgoing, { _tag: "Cut", status, error }),
    }),
  )
}
