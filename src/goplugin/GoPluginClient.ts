import { dirname } from "node:path"
import { Context, Duration, Effect, FileSystem, Layer, Result, Schedule, type Scope } from "effect"
import * as Checksum from "../command/Checksum.ts"
import * as Tls from "../grpc/Tls.ts"
import { DEFAULT_SERVER_NAME, type TlsConfig } from "../grpc/Tls.ts"
import { PluginProcess } from "../process/PluginProcess.ts"
import { type AddressOwner, checkAddress } from "./AddressCheck.ts"
import * as AutoMtls from "./AutoMtls.ts"
import * as BrokerMux from "./BrokerMux.ts"
import * as BrokerSockets from "./BrokerSockets.ts"
import * as Connection from "./Connection.ts"
import type { ConnectionOptions, GoPlugin, GoPluginError, GoPluginOptions } from "./GoPlugin.ts"
import { checkConfig, refuseConfig } from "./Handshake.ts"
import type { GrpcLine } from "./HandshakeLine.ts"
import { launch } from "./Launch.ts"
import { PluginLogRate } from "./LogBudget.ts"
import * as PluginLog from "./PluginLog.ts"
import * as Reattach from "./Reattach.ts"
import * as SocketAddress from "./SocketAddress.ts"
import * as SocketDirectory from "./SocketDirectory.ts"
import { lossySink } from "./Stdio.ts"
import { tlsAdvice } from "./TlsAdvice.ts"

/** How to reattach to a plugin that runs already. */
export interface ReattachOptions extends ConnectionOptions {
  /** Names the plugin in errors and logs. */
  readonly pluginId: string
  readonly config: Reattach.ReattachConfig
  /** TLS of your own. AutoMTLS can't be had: its keys are with the host that started the plugin. */
  readonly tls?: TlsConfig | undefined
  /** The group that may use what the host serves by the broker. */
  readonly socketGroup?: SocketDirectory.SocketGroup | undefined
  /** How the process is watched and ended, where its id means nothing here (a container, say). Default: by its id. */
  readonly process?: Reattach.AttachedProcess | undefined
}

/**
 * The host's side of hashicorp/go-plugin's gRPC protocol; it knows nothing of hooks. A plugin belongs to the Scope it is
 * started in: there is nothing else to close, and a Scope that closes twice, or while the plugin still starts, is fine.
 */
export class GoPluginClient extends Context.Service<
  GoPluginClient,
  {
    /**
     * Spawns the plugin, reads its handshake, connects, and checks its health. When the Scope closes the plugin is asked
     * to end (`GRPCController`), and after `shutdownLimit` stopped: SIGTERM to its process group, SIGKILL after the
     * process' wait delay. What another host needs to reattach meanwhile is in `reattachConfig`.
     */
    readonly start: <V extends number = number>(
      options: GoPluginOptions<V>,
    ) => Effect.Effect<GoPlugin<V>, GoPluginError, Scope.Scope>
    /**
     * Connects to a plugin that somebody else has started. When the Scope closes it is asked to end, and killed if it
     * does not; one in test mode is let be. Its own stderr, and how it ended, are not to be had.
     */
    readonly reattach: (
      options: ReattachOptions,
    ) => Effect.Effect<GoPlugin, Reattach.ReattachError | SocketDirectory.SocketDirectoryError, Scope.Scope>
  }
>()("effect-plugin-supervisor/goplugin/GoPluginClient") {
  static readonly layer: Layer.Layer<GoPluginClient, never, PluginProcess | FileSystem.FileSystem> = Layer.effect(
    GoPluginClient,
    Effect.gen(function* () {
      const processes = yield* PluginProcess
      const fs = yield* FileSystem.FileSystem
      // Who starts a plugin, and who is the first to, must not matter: a request of an operator's has neither set.
      const directory = yield* SocketDirectory.RuntimeDirectory
      const logRate = yield* PluginLogRate
      const here = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        effect.pipe(
          Effect.provideService(SocketDirectory.RuntimeDirectory, directory),
          Effect.provideService(PluginLogRate, logRate),
        )
      yield* SocketDirectory.sweep()
      yield* Effect.forkScoped(Effect.repeat(Effect.delay(SocketDirectory.sweep(), SWEEP_EVERY), Schedule.forever))
      return { start: (options) => here(start(processes, fs, options)), reattach: (options) => here(reattach(options)) }
    }),
  )

  /** For tests: `start` answers what the given one answers, and no process is started; there is none to reattach to. */
  static readonly layerTest = (
    start: (options: GoPluginOptions) => Effect.Effect<GoPlugin, GoPluginError, Scope.Scope>,
  ): Layer.Layer<GoPluginClient> =>
    Layer.succeed(GoPluginClient, {
      start: start as GoPluginClient["Service"]["start"],
      reattach: ({ pluginId }) =>
        Effect.fail(new Reattach.ReattachError({ pluginId, kind: "notFound", detail: "this is a test's client" })),
    })
}

/**
 * How often it is looked for what killed hosts have left. What they left less than a minute before a start is too young then:
 * service managers are quicker than that.
 */
const SWEEP_EVERY = Duration.minutes(2)

/** What a plugin wrote right before its end is dealt with, for this long. */
const STDERR_LIMIT = Duration.millis(500)

const start = Effect.fn("GoPluginClient.start")(function* <V extends number>(
  processes: PluginProcess["Service"],
  fs: FileSystem.FileSystem,
  options: GoPluginOptions<V>,
): Effect.fn.Return<GoPlugin<V>, GoPluginError, Scope.Scope> {
  const { handshake, multiplex = false, socketGroup, tls } = options
  const cantOffer =
    process.platform === "win32"
      ? "there is no ttrpc on Windows"
      : tls !== undefined
        ? "ttrpc is not encrypted: nobody else is at either end"
        : multiplex
          ? "ttrpc has no broker"
          : undefined
  const offer = cantOffer === undefined ? options.ttrpc : undefined
  const { pluginId } = options.process
  yield* checkConfig(pluginId, handshake, multiplex, tls === undefined || "autoMtls" in tls ? undefined : tls)
  if (options.ttrpc?.isRequired === true && cantOffer !== undefined) return yield* refuseConfig(pluginId, cantOffer)
  yield* Effect.forEach(options.checksums ?? [], (checksum) => Checksum.verify(fs, pluginId, checksum))
  const socketDirectory = options.socketDirectory ?? (yield* SocketDirectory.make(pluginId, socketGroup))
  const host = tls !== undefined && "autoMtls" in tls ? yield* AutoMtls.makeCertificate(tls.autoMtls) : undefined
  const log = yield* PluginLog.make(pluginId, options.isVerbose)
  const {
    fail,
    line,
    process: started,
  } = yield* launch(
    processes,
    options,
    offer,
    { socketDirectory, socketGroup, multiplex, hostCertificate: host?.certificate },
    {
      versions: handshake.protocolVersions,
      certificate: tls === undefined ? "refused" : host === undefined ? "optional" : "required",
      multiplex,
      ttrpc: offer === undefined ? "refused" : offer.isRequired === true ? "required" : "optional",
    },
    log,
    yield* processStderr(options),
  )
  const unhealthy = (what: string, advice?: string) => (error: Error) =>
    fail("unhealthy", [`it printed its handshake, but ${what}: ${error.message}`, advice].filter(Boolean).join("; "))
  const connect = (wire: Connection.Wire) =>
    Connection.open({
      pluginId,
      wire,
      exit: started.exit,
      stderrTail: started.stderrTail,
      shutDown: true,
      log,
      options,
    })
  const running = {
    process: started,
    // The handshake was checked against the host's versions.
    protocolVersion: line.protocolVersion as V,
  }
  const reattachConfig = (Addr: Reattach.ReattachConfig["Addr"]): Reattach.ReattachConfig => ({
    Protocol: line.protocol,
    ProtocolVersion: line.protocolVersion,
    Pid: started.pid,
    Test: false,
    Addr,
  })
  if (line.protocol === "ttrpc") {
    const wire = Connection.overTtrpc(pluginId, [started.sockets[0]!, started.sockets[1]!], options.maxMessageSize)
    const connection = yield* Effect.catch(connect(wire), unhealthy("its health check failed"))
    return { ...connection, ...running, reattachConfig: reattachConfig({ Network: "fd", String: "" }) }
  }
  for (const unused of started.sockets) unused.destroy()
  const owner = ownerOf(started.pid, socketDirectory, options)
  const foreign = yield* checkAddress(line.address, owner)
  if (foreign !== undefined) return yield* fail("address", `it says that it listens at ${foreign}`)
  const trusted = tlsOf(options, host, line)
  const certificate = trusted === undefined ? Result.void : Tls.check(trusted)
  if (Result.isFailure(certificate)) {
    return yield* fail("certificate", `its certificate can't be used: ${certificate.failure}`)
  }
  const { target, transport } = multiplex
    ? yield* Effect.catch(
        BrokerMux.make(pluginId, line.address, socketDirectory),
        unhealthy("no multiplexed connection could be made"),
      )
    : {
        target: SocketAddress.target(line.address),
        transport: BrokerSockets.make(pluginId, socketDirectory, socketGroup, owner),
      }
  const { maxMessageSize } = options
  const connection = yield* Effect.catch(
    connect(Connection.overGrpc(pluginId, target, transport, { tls: trusted, maxMessageSize })),
    (error) =>
      Effect.flatMap(multiplex ? Effect.undefined : tlsAdvice(error.details, line.address, trusted), (advice) =>
        unhealthy("its health check failed", advice)(error),
      ),
  )
  return {
    ...connection,
    ...running,
    reattachConfig: reattachConfig(SocketAddress.format(line.address)),
  }
})

/** What a plugin's addresses are held against. */
const ownerOf = (pid: number, folder: string, { allowForeignAddress = false }: ConnectionOptions): AddressOwner => ({
  pid,
  folders: [folder],
  allowForeignAddress,
})

/** TLS as both sides agreed on it in the handshake. A certificate in the line is the only one trusted. */
const tlsOf = (
  { tls }: GoPluginOptions,
  host: AutoMtls.HostCertificate | undefined,
  { certificate }: GrpcLine,
): TlsConfig | undefined => {
  if (tls === undefined) return undefined
  if (!("autoMtls" in tls)) return certificate === undefined ? tls : { ...tls, authorities: certificate }
  return certificate === undefined
    ? undefined
    : { authorities: certificate, identity: host, serverName: DEFAULT_SERVER_NAME }
}

/** Where the process' own stderr goes beside the log. Outlives the process, for its last words. */
const processStderr = Effect.fnUntraced(function* ({ output, process }: GoPluginOptions) {
  if (output?.processStderr === undefined) return undefined
  const { end, push } = yield* lossySink(output.processStderr, `stderr of plugin ${process.pluginId}`)
  yield* Effect.addFinalizer(() => Effect.timeoutOrElse(end, { duration: STDERR_LIMIT, orElse: () => Effect.void }))
  return push
})

const reattach = Effect.fn("GoPluginClient.reattach")(function* (
  options: ReattachOptions,
): Effect.fn.Return<GoPlugin, Reattach.ReattachError | SocketDirectory.SocketDirectoryError, Scope.Scope> {
  const { config, pluginId, socketGroup, tls } = options
  const refuse = (kind: Reattach.ReattachError["kind"], detail: string) =>
    new Reattach.ReattachError({ pluginId, kind, detail })
  const checked = tls === undefined ? Result.void : Tls.check(tls)
  if (Result.isFailure(checked)) return yield* refuse("config", `its certificates can't be used: ${checked.failure}`)
  const { address, mayKill, process } = yield* Reattach.find(pluginId, config, options.process)
  const socketDirectory = yield* SocketDirectory.make(pluginId, socketGroup)
  // Whoever does not prove to be a plugin is not killed.
  let owned = false
  yield* Effect.addFinalizer(() => (owned ? process.kill : Effect.void))
  const connection = yield* Connection.open({
    pluginId,
    wire: Connection.overGrpc(
      pluginId,
      SocketAddress.target(address),
      // Its sockets are where it was told to put them by whoever has started it.
      BrokerSockets.make(pluginId, socketDirectory, socketGroup, {
        ...ownerOf(process.pid, socketDirectory, options),
        folders: "path" in address ? [dirname(address.path)] : [],
      }),
      { tls, maxMessageSize: options.maxMessageSize },
    ),
    exit: process.exit,
    shutDown: config.Test !== true,
    log: yield* PluginLog.make(pluginId),
    options,
  }).pipe(
    Effect.catch((error) =>
      Effect.flatMap(tlsAdvice(error.details, address, tls), (advice) =>
        Effect.fail(refuse("unhealthy", [error.message, advice].filter(Boolean).join("; "))),
      ),
    ),
  )
  owned = mayKill && config.Test !== true
  return {
    ...connection,
    process: {
      pid: process.pid,
      exit: process.exit,
      stderrTail: Effect.succeed([]),
      secretTaken: Effect.succeed(false),
      sockets: [],
      limits: [],
    },
    protocolVersion: config.ProtocolVersion ?? 0,
    reattachConfig: config,
  }
})
