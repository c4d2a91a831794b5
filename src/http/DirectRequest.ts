import type { IncomingMessage } from "node:http"
import { Effect } from "effect"
import { type Field, flatOf, keyOf } from "../hooks/HeaderRules.ts"
import { hostFields } from "../hooks/HostFields.ts"
import { hasBody, type PluginRequest } from "./PluginRequest.ts"

/** Fields that are said anew: whom the request is for, and how long its body is. */
const SAID_ANEW = new Set(["host", "content-length"])

/** Whether a client asks for a WebSocket (RFC 6455 §4.2.1), by a request that is nothing else besides. */
export const asksForWebSocket = (request: IncomingMessage): boolean =>
  request.method === "GET" &&
  request.httpVersion === "1.1" &&
  request.headers.upgrade?.trim().toLowerCase() === "websocket" &&
  /(?:^|,)\s*upgrade\s*(?:,|$)/i.test(request.headers.connection ?? "") &&
  !hasBody(request)

/**
 * The head of a request to a plugin's own HTTP server, as Node's flat list. Its body is as long as the client says, or else
 * comes in chunks, which whoever sends it says.
 */
export const directHead = (incoming: IncomingMessage, request: PluginRequest): Effect.Effect<Array<string>> =>
  Effect.map(hostFields(request), (last) => {
    const saidAnew = new Set(last.map(([name]) => keyOf(name)))
    const fields: ReadonlyArray<Field> = [
      ["Host", request.authority],
      ...request.fields.filter(([name]) => !SAID_ANEW.has(keyOf(name)) && !saidAnew.has(keyOf(name))),
      ...lengthOf(incoming),
      ...last,
    ]
    return flatOf(fields)
  })

const lengthOf = ({ headers }: IncomingMessage): ReadonlyArray<Field> => {
  const length = headers["transfer-encoding"] === undefined ? headers["content-length"] : undefined
  return length === undefined ? [] : [["Content-Length", length]]
}
