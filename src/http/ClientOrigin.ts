import type { IncomingMessage } from "node:http"
import { BlockList, isIP, isIPv6, type Socket } from "node:net"
import type { TLSSocket } from "node:tls"
import { Result } from "effect"
import { rawValuesOf } from "../hooks/HeaderRules.ts"

/** Who asks, and how the client sees the host. */
export interface ClientOrigin {
  /** The client's IP address. */
  readonly address: string
  readonly scheme: "http" | "https"
  /** Whom it asks for: a name or an address, with a port where the client gave one. */
  readonly host: string
}

/** Whether what an address says of its clients is believed. */
export type IsTrusted = (address: string) => boolean

/** The proxies that are believed unless said otherwise: those of this machine, as which unix sockets count. */
export const TRUSTED_PROXIES: ReadonlyArray<string> = ["127.0.0.0/8", "::1"]

/** Reads addresses (`10.1.2.3`, `::1`) and ranges of them (`10.0.0.0/8`); fails with the one that is neither. */
export const trustedProxies = (proxies: ReadonlyArray<string>): Result.Result<IsTrusted, string> => {
  const list = new BlockList()
  for (const proxy of proxies) {
    const groups = /^(?<address>[^/]+)(?:\/(?<bits>\d{1,3}))?$/.exec(proxy.trim())?.groups
    const address = groups?.["address"] ?? ""
    const family = isIP(address) === 6 ? "ipv6" : "ipv4"
    const most = family === "ipv6" ? 128 : 32
    const bits = Number(groups?.["bits"] ?? most)
    if (isIP(address) === 0 || bits > most) {
      return Result.fail(`${JSON.stringify(proxy)} is no IP address, and no range of them such as 10.0.0.0/8`)
    }
    list.addSubnet(address, bits, family)
  }
  return Result.succeed((address) => list.check(address, isIPv6(address) ? "ipv6" : "ipv4"))
}

/** What one proxy says of whoever has asked it. */
interface Hop {
  readonly address: string | undefined
  readonly scheme: string | undefined
  readonly host: string | undefined
}

/**
 * Who asks, as far as the host knows: who has connected to it, or, where that is a trusted proxy, whoever that one names
 * in `X-Forwarded-*` or else in `Forwarded` (RFC 7239), from one trusted proxy to the next. What others say of themselves
 * counts for nothing. `authority` is whom the request asks for.
 */
export const originOf = (request: IncomingMessage, authority: string, isTrusted: IsTrusted): ClientOrigin => {
  const { address, isBelieved, scheme } = peerOf(request.socket, isTrusted)
  let origin: ClientOrigin = { address, scheme, host: authority }
  if (!isBelieved) return origin
  for (const hop of hopsOf(request.rawHeaders)) {
    origin = {
      address: hop.address ?? origin.address,
      scheme: hop.scheme === "http" || hop.scheme === "https" ? hop.scheme : origin.scheme,
      host: hop.host !== undefined && HOST.test(hop.host) ? hop.host : origin.host,
    }
    if (hop.address === undefined || !isTrusted(hop.address)) break
  }
  return origin
}

/** Whoever has connected, which is the same for all requests of a connection. */
interface Peer {
  readonly address: string
  readonly scheme: "http" | "https"
  readonly isBelieved: boolean
  readonly isTrusted: IsTrusted
}

const peers = new WeakMap<Socket, Peer>()

const peerOf = (socket: Socket, isTrusted: IsTrusted): Peer => {
  const known = peers.get(socket)
  if (known?.isTrusted === isTrusted) return known
  // Whoever comes by a unix socket is of this machine.
  const address = plain(socket.remoteAddress ?? "127.0.0.1")
  const scheme = (socket as TLSSocket).encrypted ? "https" : "http"
  const peer: Peer = { address, scheme, isBelieved: isTrusted(address), isTrusted }
  peers.set(socket, peer)
  return peer
}

/** A name or an address, and a port: nothing that means something else where it is put into a URL. */
const HOST = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i

/** What the proxies on the way say, the nearest one's first. */
const hopsOf = (rawHeaders: ReadonlyArray<string>): ReadonlyArray<Hop> => {
  const listed = (name: string) =>
    rawValuesOf(rawHeaders, name)
      .flatMap((value) => value.split(","))
      .map((value) => value.trim())
      .filter((value) => value !== "")
      .toReversed()
  const addresses = listed("x-forwarded-for")
  const schemes = listed("x-forwarded-proto")
  const hosts = listed("x-forwarded-host")
  // A proxy that sets one kind may well pass its client's of the other kind on, so that they are never mixed.
  if (addresses.length + schemes.length + hosts.length === 0) return listed("forwarded").map(forwardedHop)
  // Some write what they have seen behind what was there, others in its place: then there is one for all.
  return Array.from({ length: Math.max(addresses.length, 1) }, (_, index) => ({
    address: addressOf(addresses[index]),
    scheme: (schemes[index] ?? schemes.at(-1))?.toLowerCase(),
    host: hosts[index] ?? hosts.at(-1),
  }))
}

/** One element of `Forwarded`: `for="[2001:db8::1]:4711";proto=https;host=example.org`. */
const forwardedHop = (element: string): Hop => {
  const pairs = new Map(
    element.split(";").map((pair) => {
      const [name = "", value = ""] = pair.split(/=(.*)/s)
      return [name.trim().toLowerCase(), value.trim().replace(/^"(.*)"$/s, "$1")]
    }),
  )
  return { address: addressOf(pairs.get("for")), scheme: pairs.get("proto")?.toLowerCase(), host: pairs.get("host") }
}

/** An address without its port. Names that hide one (`unknown`, `_proxy`) are none. */
const addressOf = (text: string | undefined): string | undefined => {
  if (text === undefined) return undefined
  const address = /^\[(?<v6>[^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? text.replace(/^(?<v4>[\d.]+):\d+$/, "$1")
  return isIP(address) === 0 ? undefined : plain(address)
}

/** IPv4 addresses as such, also where they come over an IPv6 socket. */
const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, "")
