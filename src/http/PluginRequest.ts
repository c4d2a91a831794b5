import type { IncomingMessage } from "node:http"
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { ServeHTTPRequestInitSchema } from "../generated/mattermost/pluginapi/v1/hooks_http_pb.js"
import { type Field, fieldsOf, requestFields } from "../hooks/HeaderRules.ts"
import { carries, type IsToken, isTokenParameter } from "./HostTokens.ts"
import { type PluginTarget, withoutParameters } from "../hooks/RequestTarget.ts"

/** Who makes a request, as far as the host knows. */
export interface RequestIdentity {
  /** The user, when the request carried a valid token. */
  readonly userId?: string | undefined
  /** Made for each request. */
  readonly requestId: string
  /** What no plugin may see. */
  readonly isToken: IsToken
}

/**
 * The head of a plugin's request, made from the client's by Mattermost's rules: what only the host may say is stripped
 * and said anew, and no token of the host reaches the plugin. The plugin sees its URL below `/plugins/{id}`.
 */
export const pluginRequestInit = (
  request: IncomingMessage,
  target: PluginTarget,
  identity: RequestIdentity,
): MessageInitShape<typeof ServeHTTPRequestInitSchema> => {
  const remote = request.socket
  const query = queryOf(target, identity.isToken)
  return {
    method: request.method ?? "GET",
    url: target.below + query,
    requestUri: target.path + query,
    proto: `HTTP/${request.httpVersion}`,
    protoMajor: request.httpVersionMajor,
    protoMinor: request.httpVersionMinor,
    headers: pluginHeaders(request, identity),
    host: target.authority ?? request.headers.host ?? "",
    remoteAddr:
      remote.remoteFamily === "IPv6"
        ? `[${remote.remoteAddress}]:${remote.remotePort}`
        : `${remote.remoteAddress}:${remote.remotePort}`,
    contentLength: contentLength(request),
    pluginContext: {
      requestId: identity.requestId,
      ipAddress: remote.remoteAddress ?? "",
      acceptLanguage: request.headers["accept-language"] ?? "",
      userAgent: request.headers["user-agent"] ?? "",
    },
  }
}

/** Whether the request announces more than a plugin can be told of (and than anybody sends). */
export const isTooLarge = (request: IncomingMessage): boolean =>
  contentLength(request) > BigInt(Number.MAX_SAFE_INTEGER)

/** Whether the request has a body: it says how long it is, or that it comes in chunks. */
export const hasBody = (request: IncomingMessage): boolean => contentLength(request) !== 0n

/** −1 when it is unknown (contract, `ServeHTTP`). */
const contentLength = (request: IncomingMessage): bigint =>
  request.headers["transfer-encoding"] !== undefined ? -1n : BigInt(request.headers["content-length"] ?? 0)

/** A target's query with its question mark, without the host's tokens; empty where there is none. */
const queryOf = ({ query }: PluginTarget, isToken: IsToken): string => {
  const kept = query && withoutParameters(query, (name, value) => isTokenParameter(name, value, isToken))
  return kept === undefined ? "" : `?${kept}`
}

/** Whether a parameter of a path (`/a;token=x`) has a token in it, which can't be taken out of a path as of a query. */
export const hasTokenInPath = ({ path }: PluginTarget, isToken: IsToken): boolean =>
  path.split("/").some((segment) => carries(segment.replace(/^[^;]*;?/, ""), isToken))

/** Fields with the values that each has; a name is spelled as it was first. */
const pluginHeaders = (request: IncomingMessage, { isToken, userId }: RequestIdentity) => {
  const headers = new Map<string, { key: string; values: Array<string> }>()
  const kept = requestFields(fieldsOf(request.rawHeaders), (value) => carries(value, isToken))
  const identified: ReadonlyArray<Field> = userId === undefined ? [] : [["Mattermost-User-Id", userId]]
  for (const [key, value] of [...kept, ...identified]) {
    // Whoever has shown the host's token has no other to show.
    if (userId !== undefined && key.toLowerCase() === "authorization") continue
    const entry = headers.get(key.toLowerCase())
    if (entry === undefined) headers.set(key.toLowerCase(), { key, values: [value] })
    else entry.values.push(value)
  }
  return [...headers.values()]
}
