import type { IncomingMessage } from "node:http"
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { ServeHTTPRequestInitSchema } from "../generated/mattermost/pluginapi/v1/hooks_http_pb.js"

/** Who makes a request, as far as the host knows. */
export interface RequestIdentity {
  /** The user, when the request carried a valid token. */
  readonly userId?: string | undefined
  /** Made for each request. */
  readonly requestId: string
}

/** What leads to a plugin in a request's target, whatever way the client wrote the id. */
const PLUGIN_PREFIX = /^\/plugins\/[^/?]*/

/** Headers that only the host may set, and one that would tell the plugin of pages elsewhere (Mattermost's rule). */
const STRIPPED = new Set(["mattermost-user-id", "mattermost-plugin-id", "referer"])

/** Headers of one hop (RFC 9110 §7.6.1): they concern the connection to the host, not the plugin. */
export const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
])

/** Where Mattermost's clients may carry a token as well: no valid place here, but no plugin's business either. */
const SESSION_COOKIE = "MMAUTHTOKEN"
const TOKEN_PARAMETER = "access_token"

const cookiesOf = (request: IncomingMessage): ReadonlyArray<string> =>
  (request.headers.cookie ?? "").split(";").map((cookie) => cookie.trim())

/**
 * The head of a plugin's request, made from the client's by Mattermost's rules: what only the host may say is stripped
 * and said anew, and no token of the host reaches the plugin. The plugin sees its URL below `/plugins/{id}`.
 */
export const pluginRequestInit = (
  request: IncomingMessage,
  identity: RequestIdentity,
): MessageInitShape<typeof ServeHTTPRequestInitSchema> => {
  const target = withoutToken(request.url ?? "/")
  const path = target.replace(PLUGIN_PREFIX, "")
  const remote = request.socket
  return {
    method: request.method ?? "GET",
    url: path.startsWith("/") ? path : `/${path}`,
    requestUri: target,
    proto: `HTTP/${request.httpVersion}`,
    protoMajor: request.httpVersionMajor,
    protoMinor: request.httpVersionMinor,
    headers: pluginHeaders(request, identity),
    host: request.headers.host ?? "",
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

/** Whether the request has a body: it says how long it is, or that it comes in chunks. */
export const hasBody = (request: IncomingMessage): boolean => contentLength(request) !== 0n

/** −1 when it is unknown (contract, `ServeHTTP`). */
const contentLength = (request: IncomingMessage): bigint =>
  request.headers["transfer-encoding"] !== undefined ? -1n : BigInt(request.headers["content-length"] ?? 0)

/** Drops the host's token from a request target and leaves the rest as it was written. */
const withoutToken = (target: string): string => {
  const [path, query] = splitOnce(target, "?")
  if (query === undefined) return path
  const kept = query.split("&").filter((pair) => splitOnce(pair, "=")[0] !== TOKEN_PARAMETER)
  return kept.length === 0 ? path : `${path}?${kept.join("&")}`
}

const splitOnce = (text: string, separator: string): readonly [string, string | undefined] => {
  const index = text.indexOf(separator)
  return index === -1 ? [text, undefined] : [text.slice(0, index), text.slice(index + separator.length)]
}

const pluginHeaders = (request: IncomingMessage, identity: RequestIdentity) => {
  const headers = new Map<string, { key: string; values: Array<string> }>()
  const add = (key: string, value: string) => {
    const entry = headers.get(key.toLowerCase())
    if (entry === undefined) headers.set(key.toLowerCase(), { key, values: [value] })
    else entry.values.push(value)
  }
  const named = new Set((request.headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase()))
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    const key = request.rawHeaders[index]!
    const name = key.toLowerCase()
    // Where headers become variables (CGI, WSGI), an underscore is as good as a dash.
    if (STRIPPED.has(name.replaceAll("_", "-")) || HOP_BY_HOP.has(name) || named.has(name) || name === "cookie")
      continue
    // A token that was valid here is the host's affair; one that wasn't may belong to a scheme of the plugin's own.
    if (name === "authorization" && identity.userId !== undefined) continue
    add(key, request.rawHeaders[index + 1]!)
  }
  const cookies = cookiesOf(request).filter((cookie) => cookie !== "" && !cookie.startsWith(`${SESSION_COOKIE}=`))
  if (cookies.length > 0) add("Cookie", cookies.join("; "))
  if (identity.userId !== undefined) add("Mattermost-User-Id", identity.userId)
  return [...headers.values()]
}
