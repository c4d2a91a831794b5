import type { IncomingMessage, ServerResponse } from "node:http"
import type { DirectRequest } from "../hooks/Exchange.ts"
import { keyOf } from "../hooks/HeaderRules.ts"
import { directHead } from "../hooks/HostFields.ts"
import { hasBody, type PluginRequest } from "./PluginRequest.ts"

/** Whether a client asks for a WebSocket (RFC 6455 §4.2.1), by a request that is nothing else besides. */
export const asksForWebSocket = (request: IncomingMessage): boolean =>
  request.method === "GET" &&
  request.httpVersion === "1.1" &&
  request.headers.upgrade?.trim().toLowerCase() === "websocket" &&
  /(?:^|,)\s*upgrade\s*(?:,|$)/i.test(request.headers.connection ?? "") &&
  !hasBody(request)

/**
 * A client's request for a plugin's own HTTP server. Its body is as long as the client says, or else comes in chunks, which
 * whoever sends it says.
 */
export const directRequest = (
  incoming: IncomingMessage,
  outgoing: () => ServerResponse,
  asked: PluginRequest,
  isUpgrade: boolean,
  traceparent: string | undefined,
): DirectRequest => {
  const length = incoming.headers["transfer-encoding"] === undefined ? incoming.headers["content-length"] : undefined
  const fields = asked.fields.filter(([name]) => keyOf(name) !== "content-length")
  if (length !== undefined) fields.push(["Content-Length", length])
  const isExpectant = /(?:^|\W)100-continue(?:$|\W)/i.test(incoming.headers.expect ?? "")
  return {
    method: asked.method,
    url: asked.url,
    head: directHead(asked.authority, fields, asked, traceparent),
    body: hasBody(incoming) ? incoming : undefined,
    freesBody: true,
    onBody: () => {
      if (isExpectant && !outgoing().headersSent) outgoing().writeContinue()
    },
    isUpgrade,
  }
}
