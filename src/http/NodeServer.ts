import { createServer as createNodeServer, type Server, type ServerOptions } from "node:http"
import { isForPlugin, keepEarlyBytes } from "./Tunnel.ts"

/**
 * A server for plugins' hosts: Node's own, which takes offers to speak WebSocket from clients of plugins, and ignores what
 * else is offered in place of HTTP/1.1. Java's client offers HTTP/2 with each first request; a server that takes offers at
 * all stops to read a connection that makes one, whoever answers. (Node before 24.9 can't be told; there, the answer to an
 * offer ends its connection.)
 *
 * Slow clients are Node's affair: a head has to arrive within a minute, a request within five, and a connection may be idle
 * for five seconds (`headersTimeout`, `requestTimeout`, `keepAliveTimeout`). A head has at most 16 KiB (`maxHeaderSize`).
 */
export const createServer = (options: ServerOptions = {}): Server => {
  const server = createNodeServer({ shouldUpgradeCallback: isForPlugin, ...options })
  keepEarlyBytes(server)
  return server
}
