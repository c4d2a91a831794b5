import type { IncomingMessage } from "node:http"
import { Effect } from "effect"
import { type Field, flatOf, keyOf } from "../hooks/HeaderRules.ts"
import { hostFields } from "../hooks/HostFields.ts"
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
 * neither a length nor chunks announce would be read as another request.
 */
export const directHead = (
  incoming: IncomingMessage,
  request: PluginRequest,
  isWebSocket: boolean,
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(hostFields(request), (last) => {
    const saidAnew = new Set(last.map(([name]) => keyOf(name)))
    const fields: ReadonlyArray<Field> = [
      ["Host", request.authority],
      ...request.fields.filter(([name]) => !SAID_ANEW.has(keyOf(name)) && !saidAnew.has(keyOf(name))),
      ...framing(incoming),
      ...(isWebSocket ? WEBSOCKET : []),
      ...last,
    ]
    return flatOf(fields)
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
