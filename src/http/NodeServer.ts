import { type IncomingMessage, Server, type ServerOptions, type ServerResponse } from "node:http"
import { Effect, type Scope } from "effect"
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
  const server = new PluginServer({ shouldUpgradeCallback: isForPlugin, ...options })
  keepEarlyBytes(server)
  return server
}

/** Answers a request, or leaves it to whoever else listens to the server: then it has done nothing. */
export type Door = (incoming: IncomingMessage, outgoing: ServerResponse) => boolean

/** Node's server, with doors before all that listens to its requests: one for each host of plugins. */
class PluginServer extends Server {
  readonly doors = new Set<Door>()

  override emit(event: string, ...args: Array<unknown>): boolean {
    if (event === "request") {
      for (const door of this.doors) if (door(args[0] as IncomingMessage, args[1] as ServerResponse)) return true
    }
    return super.emit(event, ...args)
  }
}

/** Sets a door before a server that {@link createServer} has made, for the Scope's length. */
export const openDoor = (server: Server, door: Door): Effect.Effect<void, never, Scope.Scope> => {
  if (!(server instanceof PluginServer)) return Effect.die(new Error("this server was not made by createServer"))
  return Effect.acquireRelease(
    Effect.sync(() => void server.doors.add(door)),
    () => Effect.sync(() => void server.doors.delete(door)),
  )
}
