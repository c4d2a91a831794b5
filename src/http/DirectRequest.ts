import type { IncomingMessage } from "node:http"
import { Effect, Tracer } from "effect"
import { HttpTraceContext } from "effect/http"
import type { Field } from "./HeaderRules.ts"
import { hasBody, type PluginRequest } from "./PluginRequest.ts"

/** Fields that are said anew: whom the request is for, and how long its body is. */
const SAID_ANEW = new Set(["host", "content-length"])

/** Methods of which Node believes that they have no body, unless it is told so; it has one of all others in chunks. */
const BODILESS = new Set(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"])

/** Whether a client asks for a WebSocket (RFC 6455 §4.2.1), by a request that is nothing else besides. */
export const asksForWebSocket = (request: IncomingMessage): boolean =>
  request.method === "GET" &&
  request.httpVersion === "1.1" &&
  request.headers.upgrade?.trim().toLowerCase() === "websocket" &&
  /(?:^|,)\s*upgrade\s*(?:,|$)/i.test(request.headers.connection ?? "") &&
  !hasBody(request)

/**
 * The head of a request to a plugin's own HTTP server, as Node's flat list. The body is framed as the client's is: one that
 * neither a length nor chunks announce would be read as another request. Names that begin with `Plugin-Supervisor-` are
 * the host's alone; our SDK reads them.
 */
export const directHead = (
  incoming: IncomingMessage,
  request: PluginRequest,
  isWebSocket: boolean,
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(traceparent, (trace) => {
    const fields: ReadonlyArray<Field> = [
      ["Host", request.authority],
      ...request.fields.filter(([name]) => {
        const key = name.toLowerCase()
        return !SAID_ANEW.has(key) && (trace === undefined || key !== "traceparent")
      }),
      ...framing(incoming),
      ...(isWebSocket ? WEBSOCKET : []),
      ["Plugin-Supervisor-Request-Id", request.requestId],
      ["Plugin-Supervisor-Target", request.requestUri],
      ["Plugin-Supervisor-Client", request.peer],
      ["Plugin-Supervisor-Protocol", request.protocol],
      ...(trace === undefined ? [] : [["traceparent", trace] as const]),
    ]
    return fields.flat()
  })

const WEBSOCKET: ReadonlyArray<Field> = [
  ["Connection", "Upgrade"],
  ["Upgrade", "websocket"],
]

const framing = ({ headers, method = "GET" }: IncomingMessage): ReadonlyArray<Field> => {
  if (headers["transfer-encoding"] !== undefined) return [["Transfer-Encoding", "chunked"]]
  const length = headers["content-length"] ?? (BODILESS.has(method) ? undefined : "0")
  return length === undefined ? [] : [["Content-Length", length]]
}

/** The span that a request is made in, where somebody listens to spans: else the client's own goes on. */
const traceparent: Effect.Effect<string | undefined> = Effect.flatMap(Effect.service(Tracer.Tracer), (tracer) =>
  tracer === Tracer.nativeTracer
    ? Effect.undefined
    : Effect.match(Effect.currentSpan, {
        onFailure: () => undefined,
        onSuccess: (span) => HttpTraceContext.toHeaders(span)["traceparent"],
      }),
)
