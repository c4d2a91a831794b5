import type { IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Duration, Effect, Exit } from "effect"
import { HttpServerRequest, type HttpServerResponse } from "effect/http"
import type { ResponseBody } from "../hooks/ResponseBody.ts"
import { whenWritten } from "../hooks/SpentBytes.ts"
import { hasBody } from "./PluginRequest.ts"

/**
 * How long a client may take nothing of what waits for it, before it counts as gone: longer than a phone is without a
 * network between two cells, and soon enough for the handlers that wait with it. A client that is merely slow takes
 * something now and then.
 */
export const CLIENT_STALL_TIMEOUT = Duration.minutes(1)

const ignore = () => {}

/**
 * Node's request of an HTTP/1.1 server, and its response. Of a connection whose client offers another protocol there is a
 * response only when it is asked for: then nobody takes the offer, and the answer ends the connection.
 */
export const exchangeOf = (request: HttpServerRequest.HttpServerRequest) => {
  // Plugins are served over HTTP/1.1; the HTTP/2 twins of the two have no part here.
  const incoming = NodeHttpServerRequest.toIncomingMessage(request) as IncomingMessage
  return {
    incoming,
    outgoing: () => {
      const outgoing = NodeHttpServerRequest.toServerResponse(request) as ServerResponse
      if (isUpgraded(incoming)) endUpgraded(incoming, outgoing)
      return outgoing
    },
  }
}

/**
 * Whether the server has stopped to read requests from this connection, because the client offered to speak another
 * protocol and somebody may want to. Node's types don't know the property, which every version has.
 */
export const isUpgraded = (incoming: IncomingMessage & { readonly upgrade?: boolean | null }): boolean =>
  incoming.upgrade === true

/**
 * Guards a request, whoever answers it, against a client that goes or doesn't listen.
 *
 * - An error that nobody listens to ends the process. A request tells of its client's going by one, also when nobody
 *   reads its body, or not any more.
 * - A response that waits behind another one hears nothing of its connection's end, if that was a `CONNECT` sent behind
 *   both (Node takes its own listener off then). Whoever writes it would wait for ever, and the server's stop for them.
 * - Where the rest of a request is left unread, Effect's server closes the connection, and half a second later for good.
 *   The answer has to say so. Until then the rest is read and thrown away: a client whose bytes are refused may never see
 *   its answer.
 *
 * What it answers is to be called when the request has been answered, or when nobody waits for that any more.
 */
export const guard = ({ incoming, outgoing }: ReturnType<typeof exchangeOf>): (() => void) => {
  incoming.on("error", ignore)
  // An upgraded connection belongs to whoever upgrades it.
  if (isUpgraded(incoming)) return ignore
  const response = outgoing()
  response.on("error", ignore)
  destroyWith(incoming.socket, response)
  if (!hasBody(incoming)) return ignore
  response.on("finish", () => {
    if (!incoming.complete) incoming.resume()
  })
  return () => {
    // Of a body of known length Effect decides better: it reads what is left, unless that is much.
    if (incoming.headers["content-length"] === undefined) endUnlessReceived(incoming, response)
  }
}

/** {@link guard} for all that an application answers. */
export const guardExchange = <E, R>(
  app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest> =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const answered = guard(exchangeOf(request))
    return Effect.onExit(app, (exit) =>
      Effect.sync(() => {
        // One that becomes the answer is being read.
        const isRead = Exit.isSuccess(exit) && /^(?:Stream|Raw)$/.test(exit.value.body._tag)
        if (!isRead) answered()
      }),
    )
  })

/** The responses of a connection that are not finished. One listener for all: a client may send any number of requests. */
const unfinished = new WeakMap<Socket, Set<ServerResponse>>()

/** Has a response end with its connection. */
const destroyWith = (socket: Socket, response: ServerResponse): void => {
  const responses = unfinished.get(socket) ?? new Set()
  if (!unfinished.has(socket)) {
    unfinished.set(socket, responses)
    socket.once("close", () => {
      for (const response of responses) response.destroy()
    })
  }
  responses.add(response)
  response.once("close", () => responses.delete(response))
}

/** Has an answer say that its connection ends with it, where its request has not been received as a whole. */
export const endUnlessReceived = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
  if (hasBody(incoming) && !incoming.complete) outgoing.shouldKeepAlive = false
}

/** How long a client has for reading the answer that ends its connection, before that is gone: Effect's own time. */
const CLOSE_GRACE = Duration.millis(500)

/** Responses that end a connection which is nobody's any more, who would see to that. */
const ending = new WeakSet<ServerResponse>()

const endUpgraded = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
  if (ending.has(outgoing)) return
  ending.add(outgoing)
  outgoing.shouldKeepAlive = false
  outgoing.on("error", ignore)
  outgoing.on("finish", () => setTimeout(() => incoming.socket.destroy(), Duration.toMillis(CLOSE_GRACE)).unref())
}

/** Whether a connection has answers outstanding: nobody may take it over then. */
export const hasUnanswered = (socket: Socket): boolean => (unfinished.get(socket)?.size ?? 0) > 0

/** Writes with the client's back-pressure; a client that goes, or stalls, interrupts the request's fiber, and so this wait. */
export const writeChunk = (
  outgoing: ServerResponse,
  bytes: Uint8Array,
  stallTimeout: Duration.Input,
): Effect.Effect<void, Error> =>
  Effect.callback<void, Error>((resume) => {
    try {
      if (outgoing.write(bytes)) return resume(Effect.void)
    } catch (error) {
      return resume(Effect.fail(error as Error))
    }
    const allowStall = limitStall(outgoing.socket, stallTimeout)
    const onDrain = () => {
      allowStall()
      resume(Effect.void)
    }
    outgoing.once("drain", onDrain)
    return Effect.sync(() => {
      allowStall()
      outgoing.off("drain", onDrain)
    })
  })

/**
 * Writes all that arrives, which is freed then, with the client's back-pressure, or throws it away where there may be no
 * body, and ends the response; `done` is told what the body broke off with, if it did. Answers how to stop.
 */
export const pour = (
  from: ResponseBody,
  outgoing: ServerResponse,
  isBodiless: boolean,
  stallTimeout: Duration.Input,
  done: (error: Error | undefined) => void,
): (() => void) => {
  let allowStall: (() => void) | undefined
  let isStopped = false
  const leave = () => {
    if (allowStall === undefined) return
    allowStall()
    allowStall = undefined
    outgoing.off("drain", goOn)
  }
  const goOn = () => {
    leave()
    from.resume()
  }
  const stop = () => {
    isStopped = true
    leave()
  }
  const finish = (error: Error | undefined) => {
    if (isStopped) return
    stop()
    done(error)
  }
  from.readTo({
    onData: (bytes) => {
      if (isStopped) return true
      try {
        if (isBodiless || outgoing.write(bytes, whenWritten(bytes))) return true
      } catch (error) {
        finish(error as Error)
        return false
      }
      if (allowStall === undefined) {
        allowStall = limitStall(outgoing.socket, stallTimeout)
        outgoing.on("drain", goOn)
      }
      return false
    },
    onEnd: () => {
      if (!isStopped) finish(end(outgoing, stallTimeout))
    },
    onCut: finish,
  })
  return stop
}

/** Ends a response, or answers why it can't be. What still waits for its client then has its time, too. */
export const end = (outgoing: ServerResponse, stallTimeout: Duration.Input): Error | undefined => {
  try {
    outgoing.end()
  } catch (error) {
    return error as Error
  }
  // Before Node, which sets the time for idle connections when all of it is sent. The kernel takes most at once.
  if ((outgoing.socket?.writableLength ?? 0) > 0) {
    outgoing.prependOnceListener("finish", limitStall(outgoing.socket, stallTimeout))
  }
  return undefined
}

/** Has a connection closed when nothing of what waits is taken for this long; answers how to undo it. */
export const limitStall = (socket: Socket | null, stallTimeout: Duration.Input): (() => void) => {
  if (socket === null) return ignore
  const before = socket.timeout ?? 0
  // Node's own timer, which sees each byte that the kernel takes; without a listener its end destroys the socket.
  socket.setTimeout(Duration.toMillis(Duration.fromInputUnsafe(stallTimeout)))
  return () => socket.setTimeout(before)
}
