import { Duration } from "effect"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import type { PluginCommandOptions } from "../command/PluginCommand.ts"
import type { Curve } from "../goplugin/AutoMtls.ts"
import { VARIABLES } from "../command/Variables.ts"
import type { AnyContract } from "../contract/Contract.ts"
import { type AnyHooksOptions, HOOK_DEADLINE, type HooksOptions } from "../hooks/HookPolicy.ts"
import type { ProcessLimits } from "../process/ProcessLimits.ts"
import type { HealthOptions } from "./HealthMonitor.ts"
import type { RestartOptions } from "./RestartPolicy.ts"

/**
 * How long a plugin may take from its start to its handshake. Importing grpcio takes a second on a laptop and several on
 * a loaded machine with a cold disk; Mattermost's three seconds are a common complaint.
 */
export const PLUGIN_START_TIMEOUT: Duration.Duration = Duration.seconds(30)

/** How long a plugin that is stopped gets for what it is at work on, and for events that still wait for it. */
export const DRAIN_LIMIT: Duration.Duration = Duration.seconds(5)

/**
 * How long server-sent events and WebSockets may go on when a plugin is stopped or reloaded. They end by themselves never, and
 * their clients come again, to the next run.
 */
export const STREAM_LIMIT: Duration.Duration = Duration.seconds(1)

/** How long `OnDeactivate` may take (Mattermost's own limit). */
export const DEACTIVATE_LIMIT: Duration.Duration = Duration.seconds(10)

/** What a plugin may take of the machine, and who it is there. */
export interface PluginLimits extends ProcessLimits {
  /**
   * Who the plugin runs as (Linux, for a host that may change users), by name or number: without further groups, and without ways
   * to new privileges. Best a user of its own. Its bundle, its interpreter and the folder of the sockets must be where that
   * user may go, or it is not started. Default: the host's user.
   */
  readonly user?: string | number | undefined
  /** The only group of that user's processes, which may also reach the sockets. Default: the user's own. */
  readonly group?: string | number | undefined
}

/** What an operator may set for one plugin, whatever its contract. */
export interface AnySupervisorOptions extends Omit<PluginCommandOptions, "reservedVariables"> {
  /** Default {@link PLUGIN_START_TIMEOUT}. */
  readonly startTimeout?: Duration.Input | undefined
  /**
   * What carries the calls between host and plugin: `ttrpc`, over connections that the plugin inherits, or `grpc`. Default: `auto`,
   * ttrpc where the plugin speaks it, as one on our SDK does, and gRPC elsewhere, and with `autoMtls`, and on Windows.
   */
  readonly transport?: "auto" | "ttrpc" | "grpc" | undefined
  /** Encrypts the connection, for a plugin that speaks AutoMTLS: any on go-plugin does. Default: no encryption. */
  readonly autoMtls?: Curve | undefined
  /** How long the plugin may take to end after it was asked to, before SIGTERM. Default two seconds, as go-plugin's. */
  readonly shutdownLimit?: Duration.Input | undefined
  /** How long a stop waits for calls, requests and events. Default {@link DRAIN_LIMIT}. */
  readonly drainLimit?: Duration.Input | undefined
  /** How long a stop lets server-sent events and WebSockets go on. Default {@link STREAM_LIMIT}. */
  readonly streamLimit?: Duration.Input | undefined
  /** How long `OnDeactivate` may take. Default {@link DEACTIVATE_LIMIT}. */
  readonly deactivateLimit?: Duration.Input | undefined
  /** The largest message that is taken from the plugin, in bytes. Default 64 MiB (`MAX_MESSAGE_SIZE`). */
  readonly maxMessageSize?: number | undefined
  /** Whether the plugin may say that it listens at an address of somebody else's. Default false. */
  readonly allowForeignAddress?: boolean | undefined
  /** Deadlines of the hooks, and what it means when the plugin does not answer. */
  readonly hooks?: AnyHooksOptions | undefined
  /**
   * How the plugin is started again when it ends unexpectedly or can't be started. Default `false`, not at all, since whoever
   * starts a single plugin holds its run; of the plugins of a folder `true`, by the defaults of {@link RestartOptions}.
   */
  readonly restart?: boolean | RestartOptions | undefined
  /** How the plugin is watched for being stopped or deadlocked; `false`: not at all. Default: by those of {@link HealthOptions}. */
  readonly health?: false | HealthOptions | undefined
  /** What the plugin may take of the machine. Default: no limits, and the host's user. */
  readonly limits?: PluginLimits | undefined
  /** The level from which a plugin logs. Default `INFO`. */
  readonly logLevel?: "DEBUG" | "INFO" | "WARNING" | "ERROR" | undefined
}

/** What an operator may set for one plugin of a contract. */
export interface SupervisorOptions<C extends AnyContract> extends AnySupervisorOptions {
  /** Deadlines of the hooks, and what it means when the plugin does not answer. */
  readonly hooks?: HooksOptions<C> | undefined
}

/** Where a plugin finds the host, and what it may know of itself. */
export const variablesOf = (
  { variables }: AnyContract,
  { directory, manifest }: PluginBundle,
  apiTarget: string,
  { hooks, logLevel = "INFO", maxMessageSize }: AnySupervisorOptions,
): { readonly [name: string]: string } => ({
  ...variables({
    pluginId: manifest.id,
    bundlePath: directory,
    apiTarget,
    logLevel,
    hookTimeoutSeconds: Duration.toSeconds(Duration.fromInputUnsafe(hooks?.deadline ?? HOOK_DEADLINE)),
  }),
  ...(maxMessageSize === undefined ? {} : { [VARIABLES.messageLimit]: String(maxMessageSize) }),
})
