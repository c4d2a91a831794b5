import { Clock, Deferred, Duration, Effect, Exit, Option, Schema, Scope } from "effect"
import { type ConnInfo, GRPCBroker } from "../generated/plugin/grpc_broker_pb.js"
import * as GrpcClient from "../grpc/GrpcClient.ts"
import type { BidiCall, RpcClient } from "../rpc/RpcClient.ts"
import type { RpcError } from "../rpc/RpcError.ts"
import type { ServiceImplementation } from "../rpc/RpcHandler.ts"
import type { RequestInit } from "../rpc/RpcMethod.ts"
import type { RpcServerError } from "../rpc/RpcServer.ts"
import type { ServerOptions } from "../grpc/GrpcServer.ts"

/** A brokered connection could not be made. */
export class BrokerError extends Schema.TaggedError<BrokerError>()("BrokerError", {
  pluginId: Schema.String,
  /** The id of the connection, in its server's id space. */
  id: Schema.Number,
  /** `closed`: the broker is gone, or the plugin has none; `timeout`: nothing came; `refused`: the plugin said no. */
  kind: Schema.Literals(["closed", "timeout", "refused", "listen"]),
  detail: Schema.String,
}) {
  override get message(): string {
    return `plugin ${this.pluginId}: brokered connection ${this.id}: ${this.detail}`
  }
}

/**
 * Further gRPC servers between a host and one plugin (go-plugin 1.8, `grpc_broker.go`): one side serves under an id and
 * tells the other the id in a message of the app's own; the other connects to it. Ids count per side.
 */
export interface Broker {
  /** The next unused id of the host's: 1, 2, … */
  readonly nextId: Effect.Effect<number>
  /**
   * Serves services under an id of the host's, for the plugin to connect to within five seconds. It serves from the
   * moment this returns until the Scope closes, or the plugin's does.
   */
  readonly serve: <R = never>(
    id: number,
    services: ReadonlyArray<ServiceImplementation<R>>,
  ) => Effect.Effect<void, BrokerError, R | Scope.Scope>
  /**
   * Connects to what the plugin serves under an id of the plugin's. Waits for the plugin's announcement, at most five
   * seconds; one that came earlier is good for five seconds too, and for one connection.
   */
  readonly connect: (id: number) => Effect.Effect<RpcClient, BrokerError, Scope.Scope>
}

/** The broker of a plugin that has none: every use says why. */
export const none = (pluginId: string, detail: string): Broker => {
  const refuse = (id: number) => Effect.fail(new BrokerError({ pluginId, id, kind: "closed", detail }))
  return { nextId: Effect.succeed(1), serve: refuse, connect: refuse }
}

/** How long either side waits for the other's word about an id (go-plugin 1.8, `grpc_broker.go`). */
export const BROKER_TIMEOUT: Duration.Duration = Duration.seconds(5)

/** How connections come about: over sockets of their own, or multiplexed over one. */
export interface BrokerTransport {
  /** What the plugin says that is no answer anybody waits for; answers whether it was dealt with. */
  readonly onMessage: (message: ConnInfo, wire: BrokerWire) => Effect.Effect<boolean>
  /** Listens for the id; what to tell the plugin, if anything. */
  readonly listen: <R>(
    id: number,
    services: ReadonlyArray<ServiceImplementation<R>>,
    options: ServerOptions,
  ) => Effect.Effect<RequestInit<typeof GRPCBroker.method.startStream> | undefined, RpcServerError, R | Scope.Scope>
  /** The grpc-js target for the id. */
  readonly dial: (id: number, wire: BrokerWire) => Effect.Effect<string, BrokerError, Scope.Scope>
}

/** The broker's stream of messages, as its transports see it. */
export interface BrokerWire {
  readonly send: (message: RequestInit<typeof GRPCBroker.method.startStream>) => Effect.Effect<void, RpcError>
  /** The plugin's next message about an id of its own, waited for at most {@link BROKER_TIMEOUT}. */
  readonly answer: (id: number, waitingFor: string) => Effect.Effect<ConnInfo, BrokerError>
}

/** Announcements kept for connections that nobody has asked for yet; a plugin that sends more is not listened to. */
export const MAX_PENDING = 1024

interface Slot {
  readonly since: number
  readonly message: Deferred.Deferred<ConnInfo, BrokerError>
}

/**
 * Opens the broker's stream and keeps it until the Scope closes. Without the plugin's service every use says so. The
 * options are those of every connection, whichever side serves it.
 */
export const make = Effect.fnUntraced(function* (
  pluginId: string,
  client: RpcClient,
  transport: BrokerTransport,
  options: Pick<ServerOptions, "tls" | "maxMessageSize">,
): Effect.fn.Return<Broker, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const slots = new Map<number, Slot>()
  let closed: string | undefined
  let lastId = 0
  const error = (id: number, kind: BrokerError["kind"], detail: string) =>
    new BrokerError({ pluginId, id, kind, detail })

  /** The slot of an id; those nobody came for in time are forgotten. */
  const slotOf = Effect.fnUntraced(function* (id: number): Effect.fn.Return<Slot | undefined> {
    const now = yield* Clock.currentTimeMillis
    for (const [id, { since }] of slots) {
      if (now - since > Duration.toMillis(BROKER_TIMEOUT)) slots.delete(id)
    }
    const known = slots.get(id)
    if (known !== undefined || slots.size >= MAX_PENDING) return known
    const made = { since: now, message: Deferred.makeUnsafe<ConnInfo, BrokerError>() }
    slots.set(id, made)
    return made
  })

  const call: BidiCall<RequestInit<typeof GRPCBroker.method.startStream>, ConnInfo> = yield* client.bidi(
    GRPCBroker.method.startStream,
  )
  const wire: BrokerWire = {
    send: call.send,
    answer: Effect.fnUntraced(function* (id, waitingFor) {
      if (closed !== undefined) return yield* error(id, "closed", closed)
      const waiting = yield* slotOf(id)
      if (waiting === undefined) return yield* error(id, "refused", "too many connections wait to be made")
      return yield* Deferred.await(waiting.message).pipe(
        Effect.timeoutOrElse({
          duration: BROKER_TIMEOUT,
          orElse: () => Effect.fail(error(id, "timeout", `no ${waitingFor} within ${Duration.format(BROKER_TIMEOUT)}`)),
        }),
        Effect.ensuring(Effect.sync(() => slots.delete(id))),
      )
    }),
  }

  const received = Effect.fnUntraced(function* (message: ConnInfo) {
    if (yield* transport.onMessage(message, wire)) return
    const waiting = yield* slotOf(message.serviceId)
    // A second announcement of an id is dropped, as go-plugin does.
    if (waiting !== undefined) yield* Deferred.succeed(waiting.message, message)
  })
  const close = (reason: string) =>
    Effect.sync(() => {
      closed = reason
      for (const [id, { message }] of slots) Deferred.doneUnsafe(message, Exit.fail(error(id, "closed", reason)))
      slots.clear()
    })
  yield* call.receive.pipe(
    Effect.flatMap(Option.match({ onNone: () => Effect.fail("the plugin closed its broker"), onSome: received })),
    Effect.forever,
    Effect.catch((reason) =>
      close(
        typeof reason === "string"
          ? reason
          : reason.isUnimplemented
            ? "the plugin has no broker"
            : `the broker's stream ended: ${reason.message}`,
      ),
    ),
    Effect.forkScoped,
  )
  yield* Effect.addFinalizer(() => close("the plugin was stopped"))

  return {
    nextId: Effect.sync(() => ++lastId),
    serve: Effect.fn("Broker.serve")(function* (id, services) {
      if (closed !== undefined) return yield* error(id, "closed", closed)
      // It ends with whichever of the two scopes closes first.
      const own = yield* Scope.fork(scope)
      yield* Effect.addFinalizer((exit) => Scope.close(own, exit))
      const announcement = yield* transport.listen(id, services, options).pipe(
        Scope.provide(own),
        Effect.mapError((cause) => error(id, "listen", cause.message)),
      )
      if (announcement === undefined) return
      yield* Effect.mapError(call.send(announcement), (cause) => error(id, "closed", cause.message))
    }),
    connect: Effect.fn("Broker.connect")(function* (id) {
      if (closed !== undefined) return yield* error(id, "closed", closed)
      return yield* GrpcClient.make(yield* transport.dial(id, wire), options)
    }),
  }
})
