import type { IncomingMessage, Server } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { Duration, Effect, Exit, Result } from "effect"
import { hasUnanswered, limitStall } from "./ClientConnection.ts"
import { asksForWebSocket } from "./DirectRequest.ts"
import type { DirectAnswer } from "../hooks/Exchange.ts"
import { fieldsOf, rawValuesOf, responseFields } from "../hooks/HeaderRules.ts"
import type { ResponseOptions } from "./PluginResponse.ts"
import * as RequestTarget from "../hooks/RequestTarget.ts"
import { pluginPaths } from "./ServedPaths.ts"
import { GOING_AWAY, WebSocketFrames } from "./WebSocketFrames.ts"

/** How long one side of a WebSocket has for its end when the other has ended: for its goodbye, and what is on its way. */
const CLOSE_LIMIT = Duration.seconds(2)

/** What clients have sent behind their request for a WebSocket. They are to wait for the answer, and few don't. */
const early = new WeakMap<IncomingMessage, Uint8Array>()

/** Whether a request is for a WebSocket of a plugin's, on a connection that has no other business. */
export const isForPlugin = (request: IncomingMessage): boolean =>
  asksForWebSocket(request) &&
  !hasUnanswered(request.socket) &&
  Result.match(RequestTarget.parse(request.url ?? "/"), {
    onFailure: () => false,
    onSuccess: (target) => {
      for (const path of pluginPaths()) if (RequestTarget.pluginTarget(target, path) !== undefined) return true
      return false
    },
  })

/** Has a server keep what clients send too early. It ends connections that nobody takes over any more. */
export const keepEarlyBytes = (server: Server): void => {
  server.on("upgrade", (request, socket, head) => {
    early.set(request, head)
    if (server.listenerCount("upgrade") === 1) socket.destroy()
  })
}

type Upgraded = Extract<DirectAnswer, { readonly _tag: "Upgraded" }>

/**
 * Passes a WebSocket's bytes on, both ways and with back-pressure, until both sides have ended; one that ends, ends the
 * other. A client whose plugin goes without a goodbye gets one: 1001, unless it is in the middle of a frame. Answers what
 * keeps that from beginning.
 */
export const tunnel = Effect.fnUntraced(function* (
  incoming: IncomingMessage,
  { head, socket: plugin }: Upgraded,
  { allowedHeaders, stallTimeout }: ResponseOptions,
): Effect.fn.Return<string | undefined> {
  const client = incoming.socket
  const fields = responseFields(fieldsOf(head), { allowed: allowedHeaders, status: 204 })
  if (Result.isFailure(fields)) return fields.failure
  if (rawValuesOf(head, "upgrade").join().toLowerCase() !== "websocket")
    return "an offer of another protocol than WebSocket"
  const lines = [...fields.success, ["Connection", "Upgrade"], ["Upgrade", "websocket"]].map(
    ([name, value]) => `${name}: ${value}\r\n`,
  )
  const sides = new Sides(client, plugin, stallTimeout)
  client.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\n`, "latin1")
  yield* Effect.onExit(
    Effect.callback<void>((resume) => sides.start(early.get(incoming), () => resume(Effect.void))),
    // Where the host itself ends it, what follows has to find a connection that is gone.
    (exit) => (Exit.isSuccess(exit) ? Effect.void : sides.ended),
  )
  return undefined
})

/** The two connections of a WebSocket. */
class Sides {
  readonly #client: Socket
  readonly #plugin: Duplex
  readonly #stallTimeout: Duration.Input
  readonly #frames = new WebSocketFrames()
  #isEnding = false
  #allowStall = () => {}

  constructor(client: Socket, plugin: Duplex, stallTimeout: Duration.Input) {
    this.#client = client
    this.#plugin = plugin
    this.#stallTimeout = stallTimeout
  }

  start(fromClient: Uint8Array | undefined, onEnd: () => void): void {
    const client = this.#client
    const plugin = this.#plugin
    client.setTimeout(0)
    client.setNoDelay(true)
    client.on("timeout", () => client.destroy())
    for (const side of [client, plugin]) {
      side.on("error", ignore)
      side.on("end", () => this.#end())
      side.on("close", () => {
        this.#end()
        if (client.closed && plugin.closed) onEnd()
      })
    }
    client.on("drain", () => {
      this.#allowStall()
      plugin.resume()
    })
    plugin.on("drain", () => client.resume())
    plugin.on("data", (bytes: Uint8Array) => this.#toClient(bytes))
    client.on("data", (bytes: Uint8Array) => this.#toPlugin(bytes))
    if (fromClient !== undefined && fromClient.length > 0) this.#toPlugin(fromClient)
    if (client.destroyed || plugin.destroyed) this.#end()
    if (client.closed && plugin.closed) onEnd()
  }

  /** Ends both, and waits for that. */
  get ended(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const check = () => {
        if (this.#client.closed && this.#plugin.closed) resume(Effect.void)
      }
      this.#client.on("close", check)
      this.#plugin.on("close", check)
      this.#end()
      check()
    })
  }

  #toClient(bytes: Uint8Array): void {
    // Nothing may follow what the host has said in the plugin's place.
    if (this.#client.writableEnded) return
    this.#frames.push(bytes)
    if (this.#client.write(bytes)) return
    this.#plugin.pause()
    this.#allowStall = limitStall(this.#client, this.#stallTimeout)
  }

  #toPlugin(bytes: Uint8Array): void {
    if (this.#plugin.writableEnded || this.#plugin.write(bytes)) return
    this.#client.pause()
  }

  #end(): void {
    if (this.#isEnding) return
    this.#isEnding = true
    if (!this.#client.destroyed) this.#client.end(this.#frames.mayClose ? GOING_AWAY : "")
    if (!this.#plugin.destroyed) this.#plugin.end()
    // Who is to end has to be heard.
    this.#client.resume()
    this.#plugin.resume()
    const destroy = () => {
      this.#client.destroy()
      this.#plugin.destroy()
    }
    const timer = setTimeout(destroy, Duration.toMillis(CLOSE_LIMIT))
    const isLast = () => {
      if (this.#client.closed && this.#plugin.closed) clearTimeout(timer)
    }
    this.#client.once("close", isLast)
    this.#plugin.once("close", isLast)
  }
}

const ignore = () => {}
