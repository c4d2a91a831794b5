import type { IncomingMessage } from "node:http"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Effect, Equal, Layer, Result } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, type HttpServerResponse } from "effect/http"
import { NetAddress } from "effect/net"
import { rawValuesOf } from "../hooks/HeaderRules.ts"
import { refusal } from "./Refusal.ts"
import * as RequestTarget from "../hooks/RequestTarget.ts"

/** Which names a host answers to. */
export interface HostCheckOptions {
  /**
   * Names by which clients may ask for the host, without ports, besides the loopback names and the address that they
   * connect to. `*` stands for any. Unset, a server that listens on loopback takes those alone, and any other server takes
   * every name.
   */
  readonly allowedHosts?: ReadonlyArray<string> | undefined
}

/** Stands for any name. */
const ANY = "*"

/** The name or address in a `Host` header or an authority, in lower case; undefined when there is none. */
const hostname = (host: string): string | undefined =>
  (/^\[(?<address>[^\]]+)\](?::\d*)?$/.exec(host) ??
    /^(?<name>[^:[\]\s]+?)\.?(?::\d*)?$/.exec(host))?.[1]?.toLowerCase()

const addressOf = (text: string): NetAddress.IpAddress | undefined =>
  Result.getOrUndefined(Result.map(NetAddress.ipFromString(text), (address) => NetAddress.toCanonical(address)))

const isLoopbackName = (name: string): boolean => {
  // First what costs nothing: that a name is no address is an error, which every request would make.
  if (/^(?:.+\.)?localhost$/.test(name)) return true
  const address = addressOf(name)
  return address !== undefined && NetAddress.isLoopback(address)
}

/** Whom a client asks for: its target, and each of its `Host` headers. */
export const hostsOf = (request: IncomingMessage): ReadonlyArray<string> => {
  const authority = Result.getOrUndefined(RequestTarget.parse(request.url ?? "/"))?.authority
  return [...(authority === undefined ? [] : [authority]), ...rawValuesOf(request.rawHeaders, "host")]
}

/**
 * Answers what keeps requests from being served that ask for somebody else (421, RFC 9110 §15.5.20): undefined for others.
 * A page that a browser loaded under a name of its author's can have that name lead here afterwards, and then read what
 * it is answered ("DNS rebinding"): servers on loopback rely on nobody from outside reaching them, which this would undo.
 */
export const hostCheck = (
  server: NetAddress.SocketAddress,
  { allowedHosts }: HostCheckOptions,
): ((request: IncomingMessage) => HttpServerResponse.HttpServerResponse | undefined) => {
  const isOnLoopback = NetAddress.isInetAddress(server) && NetAddress.isLoopback(NetAddress.toCanonical(server.address))
  if (allowedHosts === undefined ? !isOnLoopback : allowedHosts.includes(ANY)) return () => undefined
  const allowed = new Set(allowedHosts?.map((name) => hostname(name) ?? name))
  // Clients ask for few names, one request after the other.
  let latest: string | undefined
  const isOurs = (host: string, request: IncomingMessage): boolean => {
    if (host === latest) return true
    const name = hostname(host)
    if (name === undefined) return false
    if (allowed.has(name) || isLoopbackName(name)) {
      latest = host
      return true
    }
    const address = addressOf(name)
    return address !== undefined && Equal.equals(address, addressOf(request.socket.localAddress ?? ""))
  }
  return (request) => {
    const foreign = hostsOf(request).find((host) => !isOurs(host, request))
    if (foreign === undefined) return undefined
    const message = `This host does not answer for ${JSON.stringify(foreign)}; its operator can allow the name`
    return refusal(421, "api.context.misdirected_request.app_error", message)
  }
}

/** {@link hostCheck} for all routes of the router, whoever's they are. */
export const layer = (
  options: HostCheckOptions = {},
): Layer.Layer<never, never, HttpRouter.HttpRouter | HttpServer.HttpServer> =>
  HttpRouter.use((router) =>
    Effect.gen(function* () {
      const check = hostCheck((yield* HttpServer.HttpServer).address, options)
      yield* router.addGlobalMiddleware((app) =>
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
          const refused = check(NodeHttpServerRequest.toIncomingMessage(request) as IncomingMessage)
          return refused === undefined ? app : Effect.succeed(refused)
        }),
      )
    }),
  )
