import { Duration, Effect, Fiber, type Scope } from "effect"
import * as GrpcClient from "../grpc/GrpcClient.ts"
import type { GrpcError } from "../grpc/GrpcError.ts"
import type { TlsConfig } from "../grpc/Tls.ts"
import * as Broker from "./Broker.ts"
import * as Controller from "./Controller.ts"
import type { ConnectionOptions, GoPlugin } from "./GoPlugin.ts"
import * as Health from "./Health.ts"
import type { PluginLog } from "./PluginLog.ts"
import { type ByteSink, type Consumer, drain, logConsumer, sinkConsumer } from "./Stdio.ts"

/** What was written right before the end is on its way; what has not come by then is not waited for. */
const OUTPUT_LIMIT = Duration.millis(500)

/** The connection to a plugin's server. */
export interface ConnectionSpec {
  readonly pluginId: string
  readonly target: string
  readonly tls: TlsConfig | undefined
  readonly transport: Broker.BrokerTransport
  readonly exit: Effect.Effect<unknown>
  /** Whether the plugin is asked to end when the Scope closes. */
  readonly shutDown: boolean
  readonly log: PluginLog
  readonly options: ConnectionOptions
}

/**
 * Connects to a plugin, drains its output, sees to it that it is well, and opens its broker. A plugin that is not well is
 * not asked to end either: it would not answer. When the Scope closes, in
 * go-plugin's order (1.8, `Client.Kill`): the broker, then `Shutdown` and the plugin's end, then the connection.
 */
export const open = Effect.fnUntraced(function* ({
  exit,
  log,
  options,
  pluginId,
  shutDown,
  target,
  tls,
  transport,
}: ConnectionSpec): Effect.fn.Return<Pick<GoPlugin, "client" | "broker" | "ping">, GrpcError, Scope.Scope> {
  const client = yield* GrpcClient.make(target, tls)
  const consumers = {
    stdout: yield* consumer(log, pluginId, "stdout", options.output?.stdout),
    stderr: yield* consumer(log, pluginId, "stderr", options.output?.stderr),
  }
  const draining = yield* Effect.forkScoped(drain(client, consumers, OUTPUT_LIMIT))
  yield* Effect.addFinalizer(() => within(OUTPUT_LIMIT, Fiber.await(draining)))
  const ping = Health.ping(client, options.requireServing)
  yield* ping
  if (shutDown) yield* Effect.addFinalizer(() => Controller.shutdown(client, exit, options.shutdownLimit))
  const broker = yield* Broker.make(pluginId, client, transport, tls)
  return { client, broker, ping }
})

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
