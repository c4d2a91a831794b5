import type { Duplex } from "node:stream"
import { Deferred, Duration, Effect, Fiber, Option, type Scope } from "effect"
import * as GrpcClient from "../grpc/GrpcClient.ts"
import { frameSizeFor } from "../ttrpc/TtrpcLimits.ts"
import * as TtrpcClient from "../ttrpc/TtrpcClient.ts"
import { MAX_MESSAGE_SIZE } from "../rpc/RpcLimits.ts"
import type { RpcClient } from "../rpc/RpcClient.ts"
import { RpcError } from "../rpc/RpcError.ts"
import type { Fail } from "../rpc/RpcStreams.ts"
import { describeExit, type ProcessExit } from "../process/ProcessSpec.ts"
import * as Broker from "./Broker.ts"
import * as Controller from "./Controller.ts"
import type { ConnectionOptions, GoPlugin } from "./GoPlugin.ts"
import * as Health from "./Health.ts"
import type { PluginLog } from "./PluginLog.ts"
import { type ByteSink, type Consumer, drain, logConsumer, sinkConsumer } from "./Stdio.ts"

/** What was written right before the end is on its way; what has not come by then is not waited for. */
const OUTPUT_LIMIT = Duration.millis(500)

/**
 * How long after its connection the end of a process may be seen. The kernel closes a dying process' sockets, and lets go
 * of its memory, before it tells its parent.
 */
const END_LIMIT = Duration.millis(500)

/**
 * How long a process may live on after its connection before the plugin counts as disconnected: on a busy machine its end is
 * seen late, as late as gRPC's connections are given up.
 */
const EXIT_LIMIT = GrpcClient.RECONNECT_LIMIT

/** What carries the calls to a plugin. */
export interface Wire {
  /** Makes the client; `explainLoss` tells more of the loss of the connection. */
  readonly connect: (explainLoss: Fail) => Effect.Effect<RpcClient, never, Scope.Scope>
  /** Whether a stream that is not read holds up all other calls. */
  readonly streamsHoldUp: boolean
  readonly broker: (client: RpcClient) => Effect.Effect<Broker.Broker, never, Scope.Scope>
  /** Waits until the plugin can call its host no more, where that can't be made good. */
  readonly hostLost: Effect.Effect<void>
}

/** gRPC, as go-plugin's plugins speak it. */
export const overGrpc = (
  pluginId: string,
  target: string,
  transport: Broker.BrokerTransport,
  options: Pick<GrpcClient.ClientOptions, "tls" | "maxMessageSize">,
): Wire => ({
  connect: (explainLoss) => GrpcClient.make(target, { ...options, explainLoss }),
  streamsHoldUp: false,
  broker: (client) => Broker.make(pluginId, client, transport, options),
  hostLost: Effect.never,
})

/** ttrpc, over the connections that the plugin has inherited: by `calls` it is called, by `host` it calls its host. */
export const overTtrpc = (
  pluginId: string,
  [calls, host]: readonly [calls: Duplex, host: Duplex],
  maxMessageSize = MAX_MESSAGE_SIZE,
): Wire => ({
  connect: (explainLoss) =>
    TtrpcClient.make(calls, {
      target: `plugin ${pluginId}`,
      maxFrameSize: frameSizeFor(maxMessageSize),
      explainLoss,
    }),
  streamsHoldUp: true,
  broker: () => Effect.succeed(Broker.none(pluginId, "the plugin speaks ttrpc, which has no broker")),
  hostLost: closed(host),
})

/** The connection to a plugin's server. */
export interface ConnectionSpec {
  readonly pluginId: string
  readonly wire: Wire
  readonly exit: Effect.Effect<ProcessExit>
  /** The last lines of the process' stderr, where they can be had. */
  readonly stderrTail?: Effect.Effect<ReadonlyArray<string>> | undefined
  /** Whether the plugin is asked to end when the Scope closes. */
  readonly shutDown: boolean
  readonly log: PluginLog
  readonly options: ConnectionOptions
}

/**
 * Connects to a plugin, drains its output, sees to it that it is well, and opens its broker. A plugin that is not well is
 * not asked to end either: it would not answer. When the Scope closes, in go-plugin's order (1.8, `Client.Kill`): the
 * broker, then `Shutdown` and the plugin's end, then the connection.
 */
export const open = Effect.fnUntraced(function* ({
  exit,
  log,
  options,
  pluginId,
  shutDown,
  stderrTail = Effect.succeed([]),
  wire,
}: ConnectionSpec): Effect.fn.Return<
  Pick<GoPlugin, "client" | "broker" | "ping" | "disconnected">,
  RpcError,
  Scope.Scope
> {
  const { requireServing, shutdownLimit } = options
  let isOpen = false
  const client = yield* wire.connect(
    // What keeps it from being opened is told with all that is known by whoever opens it.
    (error) => (isOpen ? onceEnded(exit, howItEnded)(error) : Effect.fail(error)),
  )
  const consumers = {
    stdout: yield* consumer(log, pluginId, "stdout", options.output?.stdout),
    stderr: yield* consumer(log, pluginId, "stderr", options.output?.stderr),
  }
  const draining = yield* Effect.forkScoped(drain(client, consumers, OUTPUT_LIMIT, wire.streamsHoldUp))
  // A plugin that goes on says nothing that is its last.
  if (shutDown) yield* Effect.addFinalizer(() => within(OUTPUT_LIMIT, Fiber.await(draining)))
  const health = yield* Health.ping(client, requireServing)
  if (health === undefined) {
    yield* Effect.logWarning(`plugin ${pluginId} has no health service: whether it serves can't be asked`)
  }
  const lost = yield* Deferred.make<void>()
  yield* Effect.forkScoped(
    Effect.raceFirst(client.disconnected, wire.hostLost).pipe(
      // Where it is the end of the process, that is what counts.
      Effect.andThen(Effect.timeoutOption(exit, EXIT_LIMIT)),
      Effect.andThen(Deferred.succeed(lost, undefined)),
    ),
  )
  if (shutDown) yield* Effect.addFinalizer(() => Controller.shutdown(client, exit, shutdownLimit))
  const broker = yield* wire.broker(client)
  const lastWords = () =>
    Effect.map(stderrTail, (lines) => (lines.length === 0 ? "" : `; the end of its stderr:\n  ${lines.join("\n  ")}`))
  isOpen = true
  return {
    client,
    broker,
    ping: Health.ping(client, requireServing).pipe(Effect.catch(onceEnded(exit, lastWords)), Effect.asVoid),
    disconnected: Deferred.await(lost),
  }
})

const closed = (stream: Duplex): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (stream.closed) return resume(Effect.void)
    const tell = () => resume(Effect.void)
    stream.once("close", tell)
    return Effect.sync(() => void stream.off("close", tell))
  })

/** Adds to an error what is known once the plugin's process has ended, if it has. */
const onceEnded =
  (exit: Effect.Effect<ProcessExit>, known: (end: ProcessExit) => Effect.Effect<string>): Fail =>
  ({ code, details, method, trailers }) =>
    Effect.timeoutOption(exit, END_LIMIT).pipe(
      Effect.flatMap(Option.match({ onNone: () => Effect.succeed(""), onSome: known })),
      Effect.flatMap((more) => Effect.fail(new RpcError({ method, code, details: `${details}${more}`, trailers }))),
    )

/** Of a process that somebody else has started neither code nor signal is known. */
const howItEnded = (end: ProcessExit): Effect.Effect<string> =>
  Effect.succeed(
    `; the plugin's process has ended${end.code === null && end.signal === null ? "" : ` (${describeExit(end)})`}`,
  )

const consumer = (
  log: PluginLog,
  pluginId: string,
  channel: "stdout" | "stderr",
  sink: ByteSink | undefined,
): Effect.Effect<Consumer, never, Scope.Scope> =>
  sink === undefined
    ? Effect.succeed(logConsumer(log.source(`plugin_${channel}`, "printed")))
    : sinkConsumer(sink, `${channel} of plugin ${pluginId}`)

const within = (limit: Duration.Duration, effect: Effect.Effect<unknown>): Effect.Effect<void> =>
  Effect.asVoid(Effect.timeoutOrElse(effect, { duration: limit, orElse: () => Effect.void }))
