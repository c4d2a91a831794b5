import { randomBytes } from "node:crypto"
import { chmod } from "node:fs/promises"
import { connect, createServer } from "node:net"
import { join } from "node:path"
import { type Duplex, pipeline } from "node:stream"
import { Deferred, Duration, Effect, Exit, Fiber, Scope, Semaphore } from "effect"
import { RpcServerError } from "../rpc/RpcServer.ts"
import { serve } from "../grpc/GrpcServer.ts"
import { BROKER_TIMEOUT, BrokerError, type BrokerTransport, type BrokerWire, MAX_PENDING } from "./Broker.ts"
import type { SocketAddress } from "./SocketAddress.ts"
import { YamuxSession } from "./Yamux.ts"

/** One connection to a plugin, over which all others go. */
export interface Multiplexer {
  /** The grpc-js target of the plugin's main server. */
  readonly target: string
  readonly transport: BrokerTransport
}

/**
 * How long a plugin that knocks for an id waits for the host to serve it. The plugin gives up after
 * {@link BROKER_TIMEOUT}; the answer has to be there before, since it would take the plugin's next stream for this one.
 */
const KNOCK_LIMIT: Duration.Duration = Duration.subtract(BROKER_TIMEOUT, Duration.millis(500))

/**
 * The broker's connections multiplexed over one (go-plugin 1.8, `internal/grpcmux`). Which stream is for which id is a
 * matter of order: whoever opens one knocks first, and the next stream after the answer is the one. grpc-js connects to
 * sockets only, so each connection goes through a socket in the plugin's private folder and is handed on from there.
 */
export const make = Effect.fnUntraced(function* (
  pluginId: string,
  address: SocketAddress,
  socketDirectory: string,
): Effect.fn.Return<Multiplexer, Error | RpcServerError, Scope.Scope> {
  /** The sockets of what the host serves, by id. */
  const listeners = new Map<number, string>()
  /** Who waits for the host to serve an id. */
  const awaited = new Map<number, Deferred.Deferred<void>>()
  let heldKnocks = 0
  /**
   * The id that the plugin's next stream is for. A plugin knocks and opens streams one after the other, so that one who
   * knocks again has given up on the stream before.
   */
  let knocked: number | undefined
  /** One stream is opened at a time: the plugin takes the next that comes for the one it was told of. */
  const opening = yield* Semaphore.make(1)

  const socketPath = () => join(socketDirectory, `mux${randomBytes(5).toString("hex")}`)
  const socket = yield* Effect.acquireRelease(connectTo(address), (socket) => Effect.sync(() => socket.destroy()))
  const session = yield* Effect.acquireRelease(
    Effect.sync(
      () =>
        new YamuxSession(socket, "client", (stream) => {
          const listener = knocked === undefined ? undefined : listeners.get(knocked)
          knocked = undefined
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

  /** Answers a knock: either the plugin's next stream is for the id, or the id has no listener. */
  const answerKnock = (serviceId: number, wire: BrokerWire) =>
    Effect.suspend(() => {
      const known = listeners.has(serviceId)
      if (known) knocked = serviceId
      const error = known ? "" : `no listener for id ${serviceId}`
      return Effect.ignore(wire.send({ serviceId, knock: { knock: true, ack: true, error } }))
    })

  /** Answers a knock once the id is served, or when it is high time to. */
  const answerLater = Effect.fnUntraced(
    function* (id: number, wire: BrokerWire) {
      const served = awaited.get(id) ?? Deferred.makeUnsafe<void>()
      awaited.set(id, served)
      yield* Effect.timeoutOption(Deferred.await(served), KNOCK_LIMIT)
      awaited.delete(id)
      yield* answerKnock(id, wire)
    },
    Effect.ensuring(Effect.sync(() => heldKnocks--)),
  )

  const scope = yield* Effect.scope
  const relayed = (open: Effect.Effect<Duplex, unknown>) => relay(socketPath(), open)
  const main = yield* relayed(opening.withPermit(openStream))

  return {
    target: main,
    transport: {
      onMessage: Effect.fnUntraced(function* ({ knock, serviceId }, wire) {
        if (knock === undefined || knock.ack) return false
        if (listeners.has(serviceId) || heldKnocks >= MAX_PENDING) {
          yield* answerKnock(serviceId, wire)
        } else {
          heldKnocks++
          // The plugin's other messages don't wait meanwhile.
          yield* Effect.forkIn(answerLater(serviceId, wire), scope)
        }
        return true
      }),
      listen: Effect.fnUntraced(function* (id, services, options) {
        if (listeners.has(id)) return yield* new RpcServerError({ address: `id ${id}`, reason: "it is in use" })
        const path = socketPath()
        yield* serve({ unix: path }, services, options)
        yield* Effect.acquireRelease(
          Effect.sync(() => {
            listeners.set(id, path)
            const served = awaited.get(id)
            if (served !== undefined) Deferred.doneUnsafe(served, Exit.void)
          }),
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
      // It stays: a connection that can't be accepted is lost, and the others go on.
      server.on("error", (error) => resume(Effect.fail(error)))
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
