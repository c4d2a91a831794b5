import { Context, Deferred, Duration, Effect, Layer, Option, Result, type Scope } from "effect"
import * as GrpcClient from "../grpc/GrpcClient.ts"
import type { GrpcError } from "../grpc/GrpcError.ts"
import { LineSplitter } from "../process/LineSplitter.ts"
import { PluginProcess } from "../process/PluginProcess.ts"
import { describeExit, type PluginSpawnError, type ProcessSpec, type RunningProcess } from "../process/ProcessSpec.ts"
import * as AutoMtls from "./AutoMtls.ts"
import * as Controller from "./Controller.ts"
import { environment, type HandshakeConfig, HandshakeError, START_TIMEOUT } from "./Handshake.ts"
import { type HandshakeLine, parse } from "./HandshakeLine.ts"
import * as Health from "./Health.ts"
import { type LogLine, LogParser } from "./LogLine.ts"
import * as Stdio from "./Stdio.ts"

/** How to start one plugin. */
export interface GoPluginOptions {
  /** The process; the protocol's own variables are added to its environment. */
  readonly process: ProcessSpec
  readonly handshake: HandshakeConfig
  /** The private folder for the plugin's sockets; see `SocketDirectory`. */
  readonly socketDirectory?: string | undefined
  /**
   * AutoMTLS: both sides make a certificate for this start and trust no other. Default: none, since the connection is a
   * socket in a private folder. A curve other than P-256 is for plugins that want it.
   */
  readonly autoMtls?: AutoMtls.Curve | undefined
  /** How long the plugin may take from its start to its handshake. Default {@link START_TIMEOUT}. */
  readonly startTimeout?: Duration.Input | undefined
}

/** A started plugin: its process, and the connection to it. */
export interface GoPlugin {
  readonly process: RunningProcess
  readonly client: GrpcClient.GrpcClient
  /** The app protocol version the plugin chose. */
  readonly protocolVersion: number
  /** Asks the plugin whether it serves; bounded by `HEALTH_DEADLINE`. */
  readonly ping: Effect.Effect<void, GrpcError>
}

/** What keeps a plugin from starting. */
export type GoPluginError = PluginSpawnError | HandshakeError

/**
 * The host's side of hashicorp/go-plugin's gRPC protocol; it knows nothing of hooks. `start` spawns the plugin, reads
 * its handshake, connects, and checks its health. When the Scope closes the plugin is asked to end (`GRPCController`),
 * and what remains of it is stopped with its process.
 */
export class GoPluginClient extends Context.Service<
  GoPluginClient,
  {
    readonly start: (options: GoPluginOptions) => Effect.Effect<GoPlugin, GoPluginError, Scope.Scope>
  }
>()("effect-plugin-supervisor/goplugin/GoPluginClient") {
  static readonly layer: Layer.Layer<GoPluginClient, never, PluginProcess> = Layer.effect(
    GoPluginClient,
    Effect.map(PluginProcess, (processes) => ({ start: (options: GoPluginOptions) => start(processes, options) })),
  )

  /** For tests: `start` answers what the given one answers, and no process is started. */
  static readonly layerTest = (start: GoPluginClient["Service"]["start"]): Layer.Layer<GoPluginClient> =>
    Layer.succeed(GoPluginClient, { start })
}

/** How long after the end of a process its handshake may still turn up in the pipe. */
const LATE_LINE_LIMIT = Duration.millis(100)

const start = Effect.fn("GoPluginClient.start")(function* (
  processes: PluginProcess["Service"],
  options: GoPluginOptions,
): Effect.fn.Return<GoPlugin, GoPluginError, Scope.Scope> {
  const firstLine = Deferred.makeUnsafe<string>()
  const host = options.autoMtls === undefined ? undefined : yield* AutoMtls.makeCertificate(options.autoMtls)
  const process = yield* spawn(processes, options, firstLine, host)
  const fail = failWith(options.process.pluginId, process)
  const { certificate, protocolVersion, target } = yield* awaitHandshake(options, process, firstLine, fail)

  const credentials =
    host === undefined || certificate === undefined ? undefined : AutoMtls.credentials(host, certificate)
  const client = yield* GrpcClient.make(target, credentials)
  yield* Effect.addFinalizer(() => Controller.shutdown(client, process.exit))
  yield* Effect.forkScoped(Stdio.drain(client, logStdio(options.process.pluginId)))
  const ping = Health.ping(client)
  yield* Effect.catch(ping, (error) =>
    fail("unhealthy", `it printed its handshake, but its health check failed: ${error.message}`),
  )
  return { process, client, protocolVersion, ping }
})

/** Starts the process with the protocol's environment; its stderr becomes log entries, its first stdout line is caught. */
const spawn = Effect.fnUntraced(function* (
  processes: PluginProcess["Service"],
  options: GoPluginOptions,
  firstLine: Deferred.Deferred<string>,
  host: AutoMtls.HostCertificate | undefined,
) {
  const run = Effect.runForkWith(yield* Effect.context())
  const stdout = new LineSplitter((line) => Deferred.doneUnsafe(firstLine, Effect.succeed(line)))
  const parser = new LogParser()
  const stderr = new LineSplitter((line) => {
    if (line !== "") run(logLine(options.process.pluginId, "plugin_stderr", parser.parse(line)))
  })
  return yield* processes.spawn(
    {
      ...options.process,
      env: { ...options.process.env, ...environment(options.handshake, options.socketDirectory, host?.certificate) },
    },
    {
      // Whatever follows the handshake on the real stdout is read, so that the plugin never blocks, and dropped
      // (go-plugin 1.8 does the same).
      stdout: (chunk) => Deferred.isDoneUnsafe(firstLine) || stdout.push(chunk),
      stderr: (chunk) => stderr.push(chunk),
    },
  )
})

type Fail = (kind: HandshakeError["kind"], detail: string) => Effect.Effect<never, HandshakeError>

/** Fails with all that is known of the process: how it ended, if it has, and the end of its stderr. */
const failWith = (pluginId: string, process: RunningProcess): Fail =>
  Effect.fnUntraced(function* (kind, detail) {
    const exit = Option.map(yield* Effect.timeoutOption(process.exit, LATE_LINE_LIMIT), describeExit)
    const stderr = yield* process.stderrTail
    return yield* new HandshakeError({ pluginId, kind, detail, stderr, exit: Option.getOrUndefined(exit) })
  })

const awaitHandshake = Effect.fnUntraced(function* (
  options: GoPluginOptions,
  process: RunningProcess,
  firstLine: Deferred.Deferred<string>,
  fail: Fail,
): Effect.fn.Return<HandshakeLine, HandshakeError> {
  const startTimeout = options.startTimeout ?? START_TIMEOUT
  const exited = Effect.andThen(Effect.andThen(process.exit, Effect.sleep(LATE_LINE_LIMIT)), () =>
    fail("exited", "it ended before its handshake"),
  )
  const line = yield* Effect.raceFirst(Deferred.await(firstLine), exited).pipe(
    Effect.timeoutOrElse({
      duration: startTimeout,
      orElse: () =>
        fail("timeout", `it printed no handshake within ${Duration.format(Duration.fromInputUnsafe(startTimeout))}`),
    }),
  )
  const parsed = parse(line, options.handshake.protocolVersions, options.autoMtls !== undefined)
  return Result.isSuccess(parsed) ? parsed.success : yield* fail(parsed.failure.kind, parsed.failure.detail)
})

const logLine = (pluginId: string, source: string, { fields, level, message }: LogLine): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logWithLevel(level)(message), { ...fields, plugin_id: pluginId, source })

const logStdio =
  (pluginId: string) =>
  (channel: Stdio.StdioChannel, message: string): Effect.Effect<void> =>
    logLine(pluginId, `plugin_${channel}`, { level: "Info", message, fields: {} })
