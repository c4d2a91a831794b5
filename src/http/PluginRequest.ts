import type { IncomingMessage } from "node:http"
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { ServeHTTPRequestInitSchema } from "../generated/plugin_supervisor/v1/plugin_http_pb.js"
import type { UserHeader } from "../contract/Contract.ts"
import { type ClientOrigin, type IsTrusted, originOf } from "./ClientOrigin.ts"
import { type Field, fieldsOf, keyOf, requestFields, valuesOf } from "../hooks/HeaderRules.ts"
import { carries, type IsToken, isTokenParameter } from "./HostTokens.ts"
import { type PluginTarget, withoutParameters } from "../hooks/RequestTarget.ts"

/** Who makes a request, as far as the host knows. */
export interface RequestIdentity {
  /** The user, when the request carried a valid token. */
  readonly userId?: string | undefined
  /** By which header the plugin is told of the user. */
  readonly userHeader: UserHeader
  /** Made for each request. */
  readonly requestId: string
  /** What no plugin may see. */
  readonly isToken: IsToken
  /** Whose word counts for whom it asks. */
  readonly isTrusted: IsTrusted
}

/**
 * The head of a plugin's request, made from the client's by Mattermost's rules: what only the host may say is stripped
 * and said anew, and no token of the host reaches the plugin. The plugin sees its URL below `/plugins/{id}`.
 */
export interface PluginRequest {
  readonly method: string
  /** The path below `/plugins/{id}`, and the query. */
  readonly url: string
  /** The same with what is before it. */
  readonly requestUri: string
  /** `HTTP/1.1`: the client's. */
  readonly protocol: string
  /** What of the client's head goes on; behind it what the host says of who asks. */
  readonly fields: ReadonlyArray<Field>
  /** Whom the client asks for. */
  readonly authority: string
  /** The address and port of whoever has connected; IPv6 in brackets. */
  readonly peer: string
  readonly origin: ClientOrigin
  readonly requestId: string
}

/** Makes a plugin's request of a client's. */
export const pluginRequest = (
  request: IncomingMessage,
  target: PluginTarget,
  identity: RequestIdentity,
): PluginRequest => {
  const query = queryOf(target, identity.isToken)
  const authority = target.authority ?? request.headers.host ?? ""
  const origin = originOf(request, authority, identity.isTrusted)
  return {
    method: request.method ?? "GET",
    url: target.below + query,
    requestUri: target.path + query,
    protocol: `HTTP/${request.httpVersion}`,
    fields: pluginFields(request, identity, origin),
    authority,
    peer: peerOf(request),
    origin,
    requestId: identity.requestId,
  }
}

/** Whoever comes by a unix socket has no address, and is of this machine. */
const peerOf = ({ socket: { remoteAddress = "127.0.0.1", remoteFamily, remotePort = 0 } }: IncomingMessage): string =>
  remoteFamily === "IPv6" ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`

/** A request as the contract's `ServeHTTP` has it. */
export const requestInit = (
  incoming: IncomingMessage,
  request: PluginRequest,
): MessageInitShape<typeof ServeHTTPRequestInitSchema> => ({
  method: request.method,
  url: request.url,
  requestUri: request.requestUri,
  proto: request.protocol,
  protoMajor: incoming.httpVersionMajor,
  protoMinor: incoming.httpVersionMinor,
  headers: grouped(request.fields),
  host: request.authority,
  remoteAddr: request.peer,
  contentLength: contentLength(incoming),
  pluginContext: {
    requestId: request.requestId,
    ipAddress: request.origin.address,
    acceptLanguage: incoming.headers["accept-language"] ?? "",
    userAgent: incoming.headers["user-agent"] ?? "",
  },
})

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
  path.includes(";") && path.split("/").some((segment) => carries(segment.replace(/^[^;]*;?/, ""), isToken))

/** What of the client's head goes on, and behind it what the host says. */
const pluginFields = (
  request: IncomingMessage,
  { isToken, userHeader, userId }: RequestIdentity,
  { address, host, scheme }: ClientOrigin,
): ReadonlyArray<Field> => {
  const kept = requestFields(fieldsOf(request.rawHeaders), (value) => carries(value, isToken))
  const said: ReadonlyArray<Field> = [
    ...(userId === undefined ? [] : [[userHeader, userId] as const]),
    ["X-Forwarded-For", address],
    ["X-Forwarded-Proto", scheme],
    ...(host === "" ? [] : [["X-Forwarded-Host", host] as const]),
  ]
  // Whoever has shown the host's token has no other to show.
  return userId === undefined || valuesOf(kept, "authorization").length === 0
    ? [...kept, ...said]
    : [...kept.filter(([name]) => keyOf(name) !== "authorization"), ...said]
}

/** Fields with the values that each has; a name is spelled as it was first. */
const grouped = (fields: ReadonlyArray<Field>) => {
  const headers = new Map<string, { key: string; values: Array<string> }>()
  for (const [key, value] of fields) {
    const entry = headers.get(key.toLowerCase())
    if (entry === undefined) headers.set(key.toLowerCase(), { key, values: [value] })
    else entry.values.push(value)
  }
  return [...headers.values()]
}
