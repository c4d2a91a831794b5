import { randomBytes } from "node:crypto"
import { chmod } from "node:fs/promises"
import { connect, createServer } from "node:net"
import { join } from "node:path"
import { type Duplex, pipeline } from "node:stream"
import { Effect, Fiber, Scope, Semaphore } from "effect"
import { GrpcServerError, serve } from "../grpc/GrpcServer.ts"
import { BROKER_TIMEOUT, BrokerError, type BrokerTransport, type BrokerWire } from "./Broker.ts"
import type { SocketAddress } from "./SocketAddress.ts"
import { YamuxSession } from "./Yamux.ts"

/** One connection to a plugin, over which all others go. */
export interface Multiplexer {
  /** The grpc-js target of the plugin's main server. */
  readonly target: string
  readonly transport: BrokerTransport
}

/**
 * The broker's connections multiplexed over one (go-plugin 1.8, `internal/grpcmux`). Which stream is for which id is a
 * matter of order: whoever opens one knocks first, and the next stream after the answer is the one. grpc-js connects to
 * sockets only, so each connection goes through a socket in the plugin's private folder and is handed on from there.
 */
export const make = Effect.fnUntraced(function* (
  pluginId: string,
  address: SocketAddress,
  socketDirectory: string,
): Effect.fn.Return<Multiplexer, Error | GrpcServerError, Scope.Scope> {
  /** The sockets of what the host serves, by id. */
  const listeners = new Map<number, string>()
  /** The ids that the plugin's next streams are for. */
  const knocked: Array<number> = []
  /** One stream is opened at a time: the plugin takes the next that comes for the one it was told of. */
  const opening = yield* Semaphore.make(1)

  const socketPath = () => join(socketDirectory, `mux${randomBytes(5).toString("hex")}`)
  const socket = yield* Effect.acquireRelease(connectTo(address), (socket) => Effect.sync(() => socket.destroy()))
  const session = yield* Effect.acquireRelease(
    Effect.sync(
      () =>
        new YamuxSession(socket, "client", (stream) => {
          const listener = listeners.get(knocked.shift() ?? 0)
          if (listener === undefined) stream.destroy()
          else splice(stream, connect(listener))
        }),
    ),
    (session) => Effect.sync(() => session.close()),
  )
  const openStream = Effect.sync(() => session.open())

  /** Knocks for an id of the plugin's and opens its stream. */
  const knock = Effect.fnUntraced(
    function* (id: number, wire: BrokerWire): Effect.fn.Return<Duplex, BrokerError> {
      const refuse = (detail: string) => new BrokerError({ pluginId, id, kind: "refused", detail })
      yield* Effect.mapError(wire.send({ serviceId: id, knock: { knock: true } }), (error) => refuse(error.message))
      const { knock: answer } = yield* wire.answer(id, "answer to the knock")
      if (answer === undefined || answer.error !== "") return yield* refuse(answer?.error || "the plugin did not knock")
      return yield* openStream
    },
    (effect) => opening.withPermit(effect),
  )

  const relayed = (open: Effect.Effect<Duplex, unknown>) => relay(socketPath(), open)
  const main = yield* relayed(opening.withPermit(openStream))

  return {
    target: main,
    transport: {
      onMessage: Effect.fnUntraced(function* ({ knock, serviceId }, wire) {
        if (knock === undefined || knock.ack) return false
        const known = listeners.has(serviceId)
        if (known) knocked.push(serviceId)
        const error = known ? "" : `no listener for id ${serviceId}`
        yield* Effect.ignore(wire.send({ serviceId, knock: { knock: true, ack: true, error } }))
        return true
      }),
      listen: Effect.fnUntraced(function* (id, services, tls) {
        if (listeners.has(id)) return yield* new GrpcServerError({ address: `id ${id}`, reason: "it is in use" })
        const path = socketPath()
        yield* serve({ unix: path }, services, tls)
        yield* Effect.acquireRelease(
          Effect.sync(() => listeners.set(id, path)),
          () => Effect.sync(() => listeners.delete(id)),
        )
        return undefined
      }),
      dial: Effect.fnUntraced(function* (id, wire) {
        // The first knock is made here, for its error to be seen; a connection that is lost knocks again.
        let first: Duplex | undefined = yield* knock(id, wire)
        const open = Effect.suspend(() => {
          const stream = first
          first = undefined
          return stream === undefined ? knock(id, wire) : Effect.succeed(stream)
        })
        return yield* Effect.mapError(
          relayed(open),
          ({ message }) => new BrokerError({ pluginId, id, kind: "listen", detail: message }),
        )
      }),
    },
  }
})

const connectTo = (address: SocketAddress): Effect.Effect<Duplex, Error> =>
  Effect.callback<Duplex, Error>((resume) => {
    const socket = connect("path" in address ? { path: address.path } : { host: address.host, port: address.port })
    socket.once("error", (error) => resume(Effect.fail(error)))
    socket.once("connect", () => resume(Effect.succeed(socket)))
    return Effect.sync(() => socket.destroy())
  }).pipe(
    Effect.timeoutOrElse({
      duration: BROKER_TIMEOUT,
      orElse: () => Effect.fail(new Error("the plugin does not take connections")),
    }),
  )

/** Hands both sides on to each other; the end or failure of one is that of the other. */
const splice = (a: Duplex, b: Duplex): void => {
  const ignore = () => {}
  pipeline(a, b, ignore)
  pipeline(b, a, ignore)
}

/** Listens on a socket and hands each connection on over a stream of its own; answers the grpc-js target. */
const relay = Effect.fnUntraced(function* (
  path: string,
  open: Effect.Effect<Duplex, unknown>,
): Effect.fn.Return<string, Error, Scope.Scope> {
  const scope = yield* Effect.scope
  const run = Effect.runForkWith(yield* Effect.context())
  const connections = new Set<Duplex>()
  yield* Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>, Error>((resume) => {
      const server = createServer({ allowHalfOpen: true }, (connection) => {
        connections.add(connection)
        connection.once("close", () => connections.delete(connection))
        connection.on("error", () => {})
        const opened = Effect.matchEffect(open, {
          onFailure: () => Effect.sync(() => connection.destroy()),
          onSuccess: (stream) => Effect.sync(() => splice(connection, stream)),
        })
        Fiber.runIn(run(opened), scope)
      })
      server.once("error", (error) => resume(Effect.fail(error)))
      server.listen(path, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.close()
        for (const connection of connections) connection.destroy()
      }),
  )
  yield* Effect.tryPromise({ try: () => chmod(path, 0o600), catch: (error) => error as Error })
  return `unix:${path}`
})
