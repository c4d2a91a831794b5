import { createServer as createNodeServer, type Server, type ServerOptions } from "node:http"

/**
 * A server for plugins' hosts: Node's own, which ignores what clients offer to speak in place of HTTP/1.1. Java's client
 * offers HTTP/2 with each first request; a server that takes offers at all stops to read a connection that makes one,
 * whoever answers. (Node before 24.9 can't be told; there, the answer to an offer ends its connection.)
 *
 * Slow clients are Node's affair: a head has to arrive within a minute, a request within five, and a connection may be idle
 * for five seconds (`headersTimeout`, `requestTimeout`, `keepAliveTimeout`). A head has at most 16 KiB (`maxHeaderSize`).
 */
export const createServer = (options: ServerOptions = {}): Server =>
  createNodeServer({ shouldUpgradeCallback: () => false, ...options })
