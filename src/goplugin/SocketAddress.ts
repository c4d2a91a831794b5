import { isIPv6 } from "node:net"
import { MAX_UNIX_SOCKET_PATH } from "../grpc/GrpcServer.ts"

/**
 * Where somebody listens: a unix socket, or a TCP port. A socket's path is absolute; on Linux it may be a name of the
 * abstract namespace, which belongs to no folder and begins with a NUL character.
 */
export type SocketAddress = { readonly path: string } | { readonly host: string; readonly port: number }

/**
 * Reads an address as go-plugin writes it, in its handshake line and in its broker's messages: the network (`unix` or
 * `tcp`) and the address itself. Answers what is wrong with it as a text.
 */
export const parse = (network: string, address: string): SocketAddress | string => {
  if (network === "unix") return unixAddress(address)
  const tcp = network === "tcp" ? tcpAddress(address) : undefined
  return tcp ?? `${JSON.stringify(`${network} ${address}`)} is no unix socket path or TCP address`
}

/** Go writes the NUL that names of Linux' abstract namespace begin with as `@` (unix(7)). */
const isAbstractName = (path: string): boolean =>
  process.platform === "linux" && path.length > 1 && path.startsWith("@") && !hasControls(path)

/** Control characters, which end a path early, or which grpc-js does not take in one. */
const hasControls = (path: string): boolean => /\p{Cc}/u.test(path)

const unixAddress = (path: string): SocketAddress | string => {
  if (isAbstractName(path)) return shortEnough(`\0${path.slice(1)}`)
  if (!path.startsWith("/") || hasControls(path)) return `${JSON.stringify(path)} is no absolute path of a socket`
  return shortEnough(path)
}

/** Node would connect to what the first bytes of a longer path name. */
const shortEnough = (path: string): SocketAddress | string =>
  Buffer.byteLength(path) > MAX_UNIX_SOCKET_PATH
    ? `the socket's path ${JSON.stringify(path)} is longer than ${MAX_UNIX_SOCKET_PATH} bytes; use a shorter temporary folder`
    : { path }

const tcpAddress = (address: string): SocketAddress | undefined => {
  const groups = /^(?:\[(?<v6>[^\]]*)\]|(?<host>[\w.-]*)):(?<port>\d{1,5})$/.exec(address)?.groups
  const port = Number(groups?.["port"])
  if (groups === undefined || port < 1 || port > 65535) return undefined
  const { host, v6 } = groups
  if (v6 !== undefined) return isIPv6(v6) ? { host: v6, port } : undefined
  // Go prints ":1234" for a listener on every interface; it is reached on this machine's own.
  return { host: host || "127.0.0.1", port }
}

/** The grpc-js target of an address. */
export const target = (address: SocketAddress): string => {
  if ("path" in address) return `unix:${address.path}`
  return isIPv6(address.host) ? `ipv6:[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

/** An address as go-plugin writes it. */
export const format = (address: SocketAddress): { readonly Network: string; readonly String: string } =>
  "path" in address
    ? { Network: "unix", String: address.path.replace(/^\0/, "@") }
    : { Network: "tcp", String: `${isIPv6(address.host) ? `[${address.host}]` : address.host}:${address.port}` }
