import { Clock, Context, Duration, Effect, Exit, Layer, Scope, SubscriptionRef } from "effect"
import { PluginApiServer } from "../api/PluginApiServer.ts"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import { PluginCommand, type PluginCommandError, type PluginCommandOptions } from "../command/PluginCommand.ts"
import type { Curve } from "../goplugin/AutoMtls.ts"
import type { GoPlugin, GoPluginError } from "../goplugin/GoPlugin.ts"
import { GoPluginClient } from "../goplugin/GoPluginClient.ts"
import type { HandshakeConfig } from "../goplugin/Handshake.ts"
import * as SocketDirectory from "../goplugin/SocketDirectory.ts"
import type { GrpcServerError } from "../grpc/GrpcServer.ts"
import { HookDispatcher } from "../hooks/HookDispatcher.ts"
import type { HookError } from "../hooks/HookError.ts"
import { HOOK_DEADLINE, type HooksOptions } from "../hooks/HookPolicy.ts"
import { type HookClient, Hooks } from "../hooks/Hooks.ts"
import { describeExit, type ProcessExit } from "../process/ProcessSpec.ts"
import type { PluginState, PluginStateName } from "./PluginState.ts"

/** What Mattermost's plugins and hosts agree on (`plugin.handshake` of the contract). */
export const MATTERMOST_HANDSHAKE: HandshakeConfig = {
  magicCookieKey: "MATTERMOST_PLUGIN",
  magicCookieValue: "Securely message teams, anywhere.",
  protocolVersions: [1],
}

/**
 * How long a plugin may take from its start to its handshake. Importing grpcio takes a second on a laptop and several on
 * a loaded machine with a cold disk; Mattermost's three seconds are a common complaint.
 */
export const PLUGIN_START_TIMEOUT: Duration.Duration = Duration.seconds(30)

/** How long `OnDeactivate` may take (Mattermost's own limit). */
export const DEACTIVATE_LIMIT: Duration.Duration = Duration.seconds(10)

/** What an operator may set for one plugin. */
export interface SupervisorOptions extends PluginCommandOptions {
  /** Default {@link PLUGIN_START_TIMEOUT}. */
  readonly startTimeout?: Duration.Input | undefined
  /** Encrypts the connection, for a plugin that speaks AutoMTLS: any on go-plugin does. Default: no encryption. */
  readonly autoMtls?: Curve | undefined
  /** How long the plugin may take to end after it was asked to, before SIGTERM. Default two seconds, as go-plugin's. */
  readonly shutdownLimit?: Duration.Input | undefined
  /** How long `OnDeactivate` may take. Default {@link DEACTIVATE_LIMIT}. */
  readonly deactivateLimit?: Duration.Input | undefined
  /** Deadlines of the hooks, and what it means when the plugin does not answer. */
  readonly hooks?: HooksOptions | undefined
  /** The level from which a plugin logs. Default `INFO`. */
  readonly logLevel?: "DEBUG" | "INFO" | "WARNING" | "ERROR" | undefined
}

/** What can keep a plugin from becoming active. */
export type PluginStartError =
  | SocketDirectory.SocketDirectoryError
  | GrpcServerError
  | PluginCommandError
  | GoPluginError
  | HookError

/** An active plugin. */
export interface SupervisedPlugin {
  readonly bundle: PluginBundle
  readonly hooks: HookClient
  readonly process: GoPlugin["process"]
  /** Asks the plugin whether it serves. */
  readonly ping: GoPlugin["ping"]
}

/** A plugin's state, for everybody who wants to see it change. */
export type PluginStateRef = SubscriptionRef.SubscriptionRef<PluginState>

/** A state to hand to `start`. */
export const makeState: Effect.Effect<PluginStateRef> = SubscriptionRef.make<PluginState>({
  name: "NotRunning",
  since: 0,
})

/**
 * One plugin's life. `start` takes a bundle through it: host API server, process, handshake, `Implemented`,
 * `OnConfigurationChange`, `OnActivate`; when the Scope closes, `OnDeactivate`, then the process and all that is left
 * of it. A plugin that fails on the way leaves nothing behind either.
 */
export class PluginSupervisor extends Context.Service<
  PluginSupervisor,
  {
    /**
     * Starts a plugin; it is active when this returns, and part of every dispatch. `state` follows the plugin's whole
     * life, also after this has failed.
     */
    readonly start: (
      bundle: PluginBundle,
      options?: SupervisorOptions,
      state?: PluginStateRef,
    ) => Effect.Effect<SupervisedPlugin, PluginStartError, Scope.Scope>
  }
>()("effect-plugin-supervisor/supervisor/PluginSupervisor") {
  static readonly layer: Layer.Layer<
    PluginSupervisor,
    never,
    PluginApiServer | PluginCommand | GoPluginClient | Hooks | HookDispatcher
  > = Layer.effect(
    PluginSupervisor,
    Effect.gen(function* () {
      const apiServer = yield* PluginApiServer
      const commands = yield* PluginCommand
      const goPlugins = yield* GoPluginClient
      const hookClients = yield* Hooks
      const dispatcher = yield* HookDispatcher

      const launch = Effect.fn("PluginSupervisor.launch")(function* (bundle: PluginBundle, options: SupervisorOptions) {
        const pluginId = bundle.manifest.id
        const socketDirectory = yield* SocketDirectory.make(pluginId)
        const apiTarget = yield* apiServer.serve({ pluginId, bundlePath: bundle.directory }, socketDirectory)
        const command = yield* commands.fromManifest(bundle, options)
        yield* commands.verifyChecksums(command)
        return yield* goPlugins.start({
          process: {
            ...command,
            env: { ...command.env, ...pluginVariables(bundle, apiTarget, options) },
            // The SDK watches its life line; the kernel's signal is for plugins that don't. A Python one gets the chance
            // to end by itself and to take its children along.
            parentDeathSignal: command.kind === "python" ? "SIGTERM" : "SIGKILL",
          },
          handshake: MATTERMOST_HANDSHAKE,
          socketDirectory,
          tls: options.autoMtls === undefined ? undefined : { autoMtls: options.autoMtls },
          shutdownLimit: options.shutdownLimit,
          startTimeout: options.startTimeout ?? PLUGIN_START_TIMEOUT,
        })
      })

      const live = Effect.fnUntraced(function* (
        bundle: PluginBundle,
        options: SupervisorOptions,
        state: PluginStateRef,
      ) {
        const pluginId = bundle.manifest.id
        yield* transition(state, "Starting")
        yield* Effect.addFinalizer(() => unlessFailed(state, "NotRunning"))
        const plugin = yield* launch(bundle, options)
        const deactivateLimit = options.deactivateLimit ?? DEACTIVATE_LIMIT
        const hooks = yield* hookClients.connect(plugin.client, pluginId, {
          ...options.hooks,
          // The plugin is told the limit there is.
          policies: { ...options.hooks?.policies, onDeactivate: { deadline: deactivateLimit } },
        })
        yield* activate(hooks)
        yield* Effect.addFinalizer(() => deactivate(hooks, plugin, deactivateLimit))

        // Dispatch reaches the plugin from here until it dies or is stopped, whichever is first.
        const registration = yield* Scope.fork(yield* Effect.scope)
        yield* Scope.provide(dispatcher.register(hooks), registration)
        yield* transition(state, "Running")
        yield* Effect.addFinalizer(() => unlessFailed(state, "Stopping"))
        const died = Effect.fnUntraced(function* (exit: ProcessExit) {
          const error = `plugin ${pluginId} ended unexpectedly (${describeExit(exit)})`
          yield* Scope.close(registration, Exit.void)
          yield* transition(state, "FailedToStayRunning", error)
          yield* Effect.logError(error)
        }, Effect.uninterruptible)
        yield* Effect.forkScoped(Effect.flatMap(plugin.process.exit, died))
        return { bundle, hooks, process: plugin.process, ping: plugin.ping }
      })

      return {
        start: Effect.fn("PluginSupervisor.start")(function* (bundle, options = {}, given) {
          const state = given ?? (yield* makeState)
          // Outlives what is started: a plugin that has to agree and failed has not agreed.
          yield* dispatcher.require(bundle.manifest.id, { ...options.hooks })
          const scope = yield* Scope.fork(yield* Effect.scope)
          return yield* live(bundle, options, state).pipe(
            Scope.provide(scope),
            Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(scope, exit) : Effect.void)),
            Effect.tapError((error) => transition(state, "FailedToStart", error.message)),
            Effect.annotateLogs({ plugin_id: bundle.manifest.id }),
          )
        }),
      }
    }),
  )

  /** For tests: `start` answers what the given one answers. */
  static readonly layerTest = (start: PluginSupervisor["Service"]["start"]): Layer.Layer<PluginSupervisor> =>
    Layer.succeed(PluginSupervisor, { start })
}

const transition = (state: PluginStateRef, name: PluginStateName, error?: string): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (since) => SubscriptionRef.set(state, { name, since, error }))

/** A failure is what people look for: stopping what is left of a failed plugin doesn't hide it. */
const unlessFailed = (state: PluginStateRef, name: PluginStateName): Effect.Effect<void> =>
  Effect.suspend(() => (SubscriptionRef.getUnsafe(state).error === undefined ? transition(state, name) : Effect.void))

/** Where the plugin finds the host, and what it may know of itself (contract, "Process, environment, handshake"). */
const pluginVariables = (
  bundle: PluginBundle,
  apiTarget: string,
  options: SupervisorOptions,
): { readonly [name: string]: string } => ({
  MATTERMOST_PLUGIN_ID: bundle.manifest.id,
  MATTERMOST_PLUGIN_PATH: bundle.directory,
  MATTERMOST_PLUGIN_API_TARGET: apiTarget,
  // Mattermost's own documentation names it so.
  MATTERMOST_API_TARGET: apiTarget,
  MATTERMOST_PLUGIN_LOG_LEVEL: options.logLevel ?? "INFO",
  MATTERMOST_PLUGIN_HOOK_TIMEOUT: String(
    Duration.toSeconds(Duration.fromInputUnsafe(options.hooks?.deadline ?? HOOK_DEADLINE)),
  ),
})

/** The contract's order: the configuration first, whose failure is only logged, then the activation, whose isn't. */
const activate = Effect.fn("PluginSupervisor.activate")(function* (hooks: HookClient) {
  // One that does not say what it implements may not have them.
  yield* Effect.catch(hooks.onConfigurationChange({}), (error) =>
    error._tag === "HookNotImplementedError" ? Effect.void : Effect.logError(error.message),
  )
  yield* Effect.catchTag(Effect.asVoid(hooks.onActivate({})), "HookNotImplementedError", () => Effect.void)
})

const deactivate = Effect.fn("PluginSupervisor.deactivate")(function* (
  hooks: HookClient,
  plugin: GoPlugin,
  limit: Duration.Input,
) {
  if (!hooks.implemented.has("onDeactivate")) return
  // A dead plugin is not asked, and one that dies on the way is not waited for.
  yield* hooks.onDeactivate({}).pipe(
    Effect.catch((error) => Effect.logWarning(error.message)),
    Effect.raceFirst(plugin.process.exit),
    Effect.timeoutOrElse({
      duration: limit,
      orElse: () =>
        Effect.logWarning(`plugin ${hooks.pluginId}: OnDeactivate did not end in time and is not waited for`),
    }),
  )
})
