import type { Duplex } from "node:stream"
import type { Duration, Effect, Scope } from "effect"
import type { Checksum, ChecksumError } from "../command/Checksum.ts"
import type { RpcClient } from "../rpc/RpcClient.ts"
import type { RpcError } from "../rpc/RpcError.ts"
import type { ServiceImplementation } from "../rpc/RpcHandler.ts"
import type { TlsConfig } from "../grpc/Tls.ts"
import type { PluginSpawnError, ProcessSpec, RunningProcess } from "../process/ProcessSpec.ts"
import type { Curve } from "./AutoMtls.ts"
import type { Broker } from "./Broker.ts"
import type { HandshakeConfig, HandshakeError } from "./Handshake.ts"
import type { ReattachConfig } from "./Reattach.ts"
import type { SocketDirectoryError, SocketGroup } from "./SocketDirectory.ts"
import type { ByteSink } from "./Stdio.ts"

/** What a started plugin and one that is reattached to have in common. */
export interface ConnectionOptions {
  /** Where the plugin's output goes. Default: to the log. */
  readonly output?: OutputSinks | undefined
  /** How long the plugin may take to end after it was asked to. Default `SHUTDOWN_LIMIT`. */
  readonly shutdownLimit?: Duration.Input | undefined
  /**
   * Whether a plugin that reports that it does not serve is unwell. Default true; go-plugin's own Ping (1.8) is content
   * with any answer. A plugin without a health service is well as long as it answers, and starts with a warning.
   */
  readonly requireServing?: boolean | undefined
  /**
   * The largest message that is taken from the plugin, in bytes, unzipped; a larger one fails its call with
   * RESOURCE_EXHAUSTED. For all connections, whichever side serves. Default: none but the 2 GiB of go-plugin's own host.
   */
  readonly maxMessageSize?: number | undefined
  /**
   * Whether the plugin may name any address as its own. Default false: its sockets must be in its socket folder or, on
   * Linux, held by its process or one of that one's group, and TCP must be this machine's own.
   */
  readonly allowForeignAddress?: boolean | undefined
}

/** Where a plugin's output goes, byte for byte. A sink that fails or ends early is logged and forgotten. */
export interface OutputSinks {
  /** What the plugin writes to its stdout after the handshake (`GRPCStdio`), in place of log entries. */
  readonly stdout?: ByteSink | undefined
  /** What it writes to its stderr after the handshake (`GRPCStdio`), in place of log entries. */
  readonly stderr?: ByteSink | undefined
  /**
   * What comes out of the process' own stderr: log lines, panics, output of its children. Beside the log entries. The
   * pipe is never held up: where the sink is slower than the plugin for long, chunks are lost, and that is logged.
   */
  readonly processStderr?: ByteSink | undefined
}

/** How to start one plugin. `V`: see `HandshakeConfig`. */
export interface GoPluginOptions<V extends number = number> extends ConnectionOptions {
  /**
   * The process. Its `env` is all that the plugin sees beside the protocol's variables, which come last; to hand down
   * the host's environment, spread `process.env` first.
   */
  readonly process: ProcessSpec
  readonly handshake: HandshakeConfig<V>
  /** A private folder for the plugin's sockets. Default: one is made, and removed when the plugin has ended. */
  readonly socketDirectory?: string | undefined
  /** The group that may use the sockets, for a plugin that changes its user: by name or number. Default: nobody else. */
  readonly socketGroup?: SocketGroup | undefined
  /**
   * TLS. `autoMtls`: both sides make a certificate for this start and trust no other; a curve other than P-256 is for
   * plugins that want it. Or certificates of your own; a certificate in the plugin's handshake then takes the place of
   * `authorities`. Default: none, since the connection is a socket in a private folder.
   */
  readonly tls?: { readonly autoMtls: Curve } | TlsConfig | undefined
  /** Whether brokered connections share one socket (go-plugin 1.6, `GRPCBrokerMultiplex`). Default false. */
  readonly multiplex?: boolean | undefined
  /** How long the plugin may take from its start to its handshake. Default `START_TIMEOUT`. */
  readonly startTimeout?: Duration.Input | undefined
  /**
   * Whether lines on stdout before the handshake are logged and skipped, as long as they are few. Default false: the
   * first line must be the handshake (go-plugin 1.8).
   */
  readonly skipStrayLines?: boolean | undefined
  /** Whether what the plugin logs from Debug on is logged, whatever the host logs of itself. Default false. */
  readonly isVerbose?: boolean | undefined
  /**
   * Offers ttrpc to the plugin, over connections that it inherits, in place of gRPC: one on our Python SDK takes it that has hooks,
   * or serves with `ttrpc=True`, and one on our Go package. There is no broker then, no metadata of answers, and no way to
   * reattach. Not on Windows, and not with `tls` or `multiplex`. Default: it is not offered, as by any host on go-plugin.
   */
  readonly ttrpc?: TtrpcOffer | undefined
  /** Files that must have these SHA-256 sums, or nothing is started: the executable, and whatever it will read. */
  readonly checksums?: ReadonlyArray<Checksum> | undefined
}

/** What a plugin may speak in place of gRPC. */
export interface TtrpcOffer {
  /**
   * What the plugin may call on its host, which it may do before its handshake: `broker.host` in our Python SDK. Default:
   * whatever it calls is not implemented.
   */
  readonly services?: ReadonlyArray<ServiceImplementation> | undefined
  /** Serves this end of the connection that the plugin calls by, in place of `services`. */
  readonly serve?: ((connection: Duplex) => Effect.Effect<unknown, never, Scope.Scope>) | undefined
  /** Whether a plugin that speaks gRPC only is refused. Default false. */
  readonly isRequired?: boolean | undefined
}

/** A plugin that runs: its process, and the connection to it. */
export interface GoPlugin<V extends number = number> {
  /** `exit` tells when and how it ended; what restarts a plugin waits for that. */
  readonly process: RunningProcess
  /** Calls the plugin's services. Calls in flight fail with `UNAVAILABLE` when the process ends, and say how it did. */
  readonly client: RpcClient
  /** The app protocol version the plugin chose. */
  readonly protocolVersion: V
  /** Further servers, of either side's. A plugin that speaks ttrpc has none. */
  readonly broker: Broker
  /**
   * Asks the plugin whether it serves; bounded by `HEALTH_DEADLINE`. Where its process has ended the error says how, with
   * the end of its stderr.
   */
  readonly ping: Effect.Effect<void, RpcError>
  /**
   * Waits until the connection is lost and can't be made again within `RECONNECT_LIMIT`: the process may live, but its
   * server is gone, and with it the plugin. Over ttrpc it is as well where that by which the plugin calls its host is.
   */
  readonly disconnected: Effect.Effect<void>
  /** What another host needs to reattach while this plugin runs. To one that speaks ttrpc nobody can; it says so. */
  readonly reattachConfig: ReattachConfig
}

/** What keeps a plugin from starting. */
export type GoPluginError = PluginSpawnError | HandshakeError | SocketDirectoryError | ChecksumError
