import type { IncomingMessage, ServerResponse } from "node:http"
import { Duration, Effect, Result, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import type { DirectAnswer } from "../hooks/Exchange.ts"
import type { PluginHttpResponse } from "../hooks/ServeHttp.ts"
import { end, endUnlessReceived, pour, writeChunk } from "./ClientConnection.ts"
import { type Field, fieldsOf, flatOf, hasNoBody, responseFields } from "../hooks/HeaderRules.ts"
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

/** A plugin's response: its head, and what writes its body. */
interface Written {
  readonly status: number
  readonly fields: ReadonlyArray<Field>
  /** Sends the body and ends the answer with it, or throws it away where there may be none. */
  readonly body: (isBodiless: boolean) => Effect.Effect<void, Error>
}

/**
 * Writes a plugin's response to the client. Not by way of `HttpServerResponse`, whose headers have one value each, and
 * which holds the head back until there is a body: a plugin's server-sent events may begin late.
 */
const write = (
  pluginId: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { body, fields, status }: Written,
  { allowedHeaders }: ResponseOptions,
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  const kept = responseFields(fields, { allowed: allowedHeaders, status })
  if (Result.isFailure(kept)) {
    return Effect.as(warn(pluginId, `the plugin answered with ${kept.failure}`), failed(500, "The plugin failed"))
  }
  // A body shorter than its announced length must not look complete.
  outgoing.strictContentLength = true
  endUnlessReceived(incoming, outgoing)
  outgoing.writeHead(status, flatOf(kept.success))
  const flush = setTimeout(() => outgoing.flushHeaders(), Duration.toMillis(HEAD_DELAY))
  return Effect.matchEffect(body(hasNoBody(incoming.method ?? "GET", status)), {
    onSuccess: () => {
      clearTimeout(flush)
      // It has been sent; this tells middlewares what was.
      return Effect.succeed(HttpServerResponse.empty({ status }))
    },
    onFailure: (error) =>
      warn(pluginId, `the plugin's response was cut off: ${error.message}`).pipe(
        Effect.andThen(cutOff(outgoing)),
        Effect.as(HttpServerResponse.empty({ status })),
      ),
  })
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

/** Writes what a plugin's `ServeHTTP` has answered. */
export const writeResponse = (
  pluginId: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { body, headers, status }: PluginHttpResponse<Error>,
  options: ResponseOptions,
): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  write(
    pluginId,
    incoming,
    outgoing,
    {
      status,
      fields: headers.flatMap(([name, values]) => values.map((value) => [name, value] as const)),
      body: (isBodiless) =>
        Stream.runForEach(body, (bytes) =>
          isBodiless ? Effect.void : writeChunk(outgoing, bytes, options.stallTimeout),
        ).pipe(Effect.andThen(end(outgoing, options.stallTimeout))),
    },
    options,
  )

/** Writes what a plugin's own HTTP server has answered. */
export const writeDirect = (
  pluginId: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { body, head, status }: Extract<DirectAnswer, { readonly _tag: "Response" }>,
  options: ResponseOptions,
): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  write(
    pluginId,
    incoming,
    outgoing,
    { status, fields: fieldsOf(head), body: (isBodiless) => pour(body, outgoing, isBodiless, options.stallTimeout) },
    options,
  )
