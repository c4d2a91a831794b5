import type { IncomingMessage, ServerResponse } from "node:http"
import { type Duration, Effect, Result, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import type { HookError } from "../hooks/HookError.ts"
import type { PluginHttpResponse } from "../hooks/ServeHttp.ts"
import { end, endUnlessReceived, writeChunk } from "./ClientConnection.ts"
import { hasNoBody, responseFields } from "../hooks/HeaderRules.ts"
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

/**
 * Writes a plugin's response to the client. Not by way of `HttpServerResponse`, whose headers have one value each, and
 * which holds the head back until there is a body: a plugin's server-sent events may begin late.
 */
export const writeResponse = Effect.fnUntraced(function* (
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  response: PluginHttpResponse<HookError | Error>,
  { allowedHeaders, stallTimeout }: ResponseOptions,
): Effect.fn.Return<HttpServerResponse.HttpServerResponse> {
  const method = incoming.method ?? "GET"
  const fields = responseFields(
    response.headers.flatMap(([name, values]) => values.map((value) => [name, value] as const)),
    { allowed: allowedHeaders, status: response.status },
  )
  if (Result.isFailure(fields)) {
    yield* Effect.logWarning(`the plugin answered with ${fields.failure}`)
    return failed(500, "The plugin failed")
  }
  // A body shorter than its announced length must not look complete.
  outgoing.strictContentLength = true
  endUnlessReceived(incoming, outgoing)
  outgoing.writeHead(response.status, fields.success.flat())
  outgoing.flushHeaders()
  const isBodiless = hasNoBody(method, response.status)
  yield* response.body.pipe(
    Stream.runForEach((bytes) => (isBodiless ? Effect.void : writeChunk(outgoing, bytes, stallTimeout))),
    Effect.andThen(end(outgoing, stallTimeout)),
    Effect.catch((error: HookError | Error) =>
      Effect.andThen(
        Effect.logWarning(`the plugin's response was cut off: ${error.message}`),
        Effect.sync(() => outgoing.destroy()),
      ),
    ),
  )
  // It has been sent; this tells middlewares what was.
  return HttpServerResponse.empty({ status: response.status })
})
