import { randomBytes } from "node:crypto"
import { Context, Deferred, Duration, Effect, Exit, Layer, Option, Schema, Scope } from "effect"
import { PluginApiServer } from "../api/PluginApiServer.ts"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import { PluginCommand, type PluginCommandError, type PluginCommandOptions } from "../command/PluginCommand.ts"
import type { Curve } from "../goplugin/AutoMtls.ts"
import type { GoPlugin, GoPluginError } from "../goplugin/GoPlugin.ts"
import { GoPluginClient } from "../goplugin/GoPluginClient.ts"
import type { HandshakeConfig } from "../goplugin/Handshake.ts"
import * as SocketDirectory from "../goplugin/SocketDirectory.ts"
import { MAX_MESSAGE_SIZE } from "../grpc/GrpcLimits.ts"
import type { GrpcServerError } from "../grpc/GrpcServer.ts"
import { ActivePlugins, type Registration } from "../hooks/ActivePlugins.ts"
import type { HookError } from "../hooks/HookError.ts"
import { HOOK_DEADLINE, type HooksOptions } from "../hooks/HookPolicy.ts"
import { type HookClient, Hooks } from "../hooks/Hooks.ts"
import { describeExit, type ProcessExit } from "../process/ProcessSpec.ts"

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

/** How long a plugin that is stopped gets for what it is at work on, and for events that still wait for it. */
export const DRAIN_LIMIT: Duration.Duration = Duration.seconds(5)

/** How long `OnDeactivate` may take (Mattermost's own limit). */
export const DEACTIVATE_LIMIT: Duration.Duration = Duration.seconds(10)

/** Bytes of a plugin's token for the host API: beyond guessing. */
const TOKEN_BYTES = 32

/** How long after a call's failure the end of the process may be seen that is its reason. */
const EXIT_SEEN_LIMIT = Duration.millis(200)

/** What an operator may set for one plugin. */
export interface SupervisorOptions extends PluginCommandOptions {
  /** Default {@link PLUGIN_START_TIMEOUT}. */
  readonly startTimeout?: Duration.Input | undefined
  /** Encrypts the connection, for a plugin that speaks AutoMTLS: any on go-plugin does. Default: no encryption. */
  readonly autoMtls?: Curve | undefined
  /** How long the plugin may take to end after it was asked to, before SIGTERM. Default two seconds, as go-plugin's. */
  readonly shutdownLimit?: Duration.Input | undefined
  /** How long a stop waits for calls, requests and events. Default {@link DRAIN_LIMIT}. */
  readonly drainLimit?: Duration.Input | undefined
  /** How long `OnDeactivate` may take. Default {@link DEACTIVATE_LIMIT}. */
  readonly deactivateLimit?: Duration.Input | undefined
  /** The largest message that is taken from the plugin, in bytes. Default {@link MAX_MESSAGE_SIZE}. */
  readonly maxMessageSize?: number | undefined
  /** Whether the plugin may say that it listens at an address of somebody else's. Default false. */
  readonly allowForeignAddress?: boolean | undefined
  /** Deadlines of the hooks, and what it means when the plugin does not answer. */
  readonly hooks?: HooksOptions | undefined
  /** The level from which a plugin logs. Default `INFO`. */
  readonly logLevel?: "DEBUG" | "INFO" | "WARNING" | "ERROR" | undefined
}

/** The plugin's process ended while the plugin was started, after its handshake. */
export class PluginExitedError extends Schema.TaggedError<PluginExitedError>()("PluginExitedError", {
  pluginId: Schema.String,
  /** What the host was about, and what became of it. */
  detail: Schema.String,
  /** How the process ended: `exit code 1`, `signal SIGSEGV`. */
  exit: Schema.String,
  /** The last lines the plugin wrote to stderr, oldest first. */
  stderr: Schema.Array(Schema.String),
}) {
  override get message(): string {
    const stderr =
      this.stderr.length === 0 ? "it wrote nothing to stderr" : `the end of its stderr:\n  ${this.stderr.join("\n  ")}`
    return `plugin ${this.pluginId} ended while it was started (${this.exit}): ${this.detail}; ${stderr}`
  }
}

/** The plugin was stopped before its start had come to its end. */
export class PluginStoppedError extends Schema.TaggedError<PluginStoppedError>()("PluginStoppedError", {
  pluginId: Schema.String,
}) {
  override get message(): string {
    return `plugin ${this.pluginId} was stopped while it was started`
  }
}

/** What can keep a plugin from becoming active. */
export type PluginStartError =
  | SocketDirectory.SocketDirectoryError
  | GrpcServerError
  | PluginCommandError
  | GoPluginError
  | HookError
  | PluginExitedError
  | PluginStoppedError

/** How a run has come to its end. */
export type RunEnd =
  | { readonly _tag: "Stopped" }
  /** The process ended by itself. */
  | { readonly _tag: "Exited"; readonly exit: ProcessExit }
  /** Somebody has removed a socket, or the folder of the sockets: nobody could connect any more. */
  | { readonly _tag: "Lost"; readonly path: string }
  /** The process lives, but its server is gone. */
  | { readonly _tag: "Disconnected" }

/** A run's end in words. */
export const describeEnd = (pluginId: string, end: RunEnd): string => {
  switch (end._tag) {
    case "Stopped":
      return `plugin ${pluginId} was stopped`
    case "Exited":
      return `plugin ${pluginId} ended unexpectedly (${describeExit(end.exit)})`
    case "Lost":
      return `plugin ${pluginId} was stopped, since somebody has removed ${end.path}; keep its sockets where nobody clears up (--runtime-directory, RUNTIME_DIRECTORY)`
    case "Disconnected":
      return `plugin ${pluginId} was stopped, since its server does not answer any more, although its process runs; see its log`
  }
}

/** One start of a plugin, from its activation to its end. */
export interface PluginRun {
  readonly bundle: PluginBundle
  /** Tells two runs of one plugin apart: a later one has a greater number. */
  readonly generation: number
  readonly hooks: HookClient
  readonly process: GoPlugin["process"]
  /** Asks the plugin whether it serves. */
  readonly ping: GoPlugin["ping"]
  /** Ends the run; returns when nothing is left of it, also when somebody else ends it. */
  readonly stop: Effect.Effect<void>
  /** Completes as soon as the run is about to end. */
  readonly ending: Effect.Effect<RunEnd>
  /** Completes when nothing is left of the run. */
  readonly ended: Effect.Effect<RunEnd>
}

/**
 * Starts runs of plugins. A run owns all that belongs to one start: its folder for sockets, the server of its host API
 * calls, its process, the connection to it, its place in the dispatch. All of it is let go when the run is stopped, when
 * its Scope closes, or when the process ends by itself, whichever is first; a start that fails leaves nothing either.
 */
export class PluginRuns extends Context.Service<
  PluginRuns,
  {
    /** Starts a plugin; it is active when this returns. */
    readonly start: (
      bundle: PluginBundle,
      options?: SupervisorOptions,
    ) => Effect.Effect<PluginRun, PluginStartError, Scope.Scope>
  }
>()("effect-plugin-supervisor/supervisor/PluginRuns") {
  static readonly layer: Layer.Layer<
    PluginRuns,
    never,
    PluginApiServer | PluginCommand | GoPluginClient | Hooks | ActivePlugins
  > = Layer.effect(
    PluginRuns,
    Effect.suspend(() => make),
  )

  /** For tests: `start` answers what the given one answers. */
  static readonly layerTest = (start: PluginRuns["Service"]["start"]): Layer.Layer<PluginRuns> =>
    Layer.succeed(PluginRuns, { start })
}

const make = Effect.gen(function* () {
  const apiServer = yield* PluginApiServer
  const commands = yield* PluginCommand
  const goPlugins = yield* GoPluginClient
  const hookClients = yield* Hooks
  const activePlugins = yield* ActivePlugins

  /** The host's side: where the plugin's sockets are, and the server of its host API calls. */
  const serveApi = Effect.fnUntraced(function* ({ directory, manifest }: PluginBundle, options: SupervisorOptions) {
    const socketDirectory = yield* SocketDirectory.make(manifest.id)
    const token = randomBytes(TOKEN_BYTES).toString("base64url")
    let isTaken = false
    const target = yield* apiServer.serve({ pluginId: manifest.id, bundlePath: directory }, socketDirectory, {
      access: { token, isRequired: () => isTaken },
      maxMessageSize: options.maxMessageSize,
    })
    return { socketDirectory, target, token, requireToken: Effect.sync(() => void (isTaken = true)) }
  })

  const launch = Effect.fnUntraced(function* (
    bundle: PluginBundle,
    options: SupervisorOptions,
    api: Effect.Success<ReturnType<typeof serveApi>>,
  ) {
    const command = yield* commands.fromManifest(bundle, options)
    yield* commands.verifyChecksums(command)
    const started = yield* goPlugins.start({
      process: {
        ...command,
        env: { ...command.env, ...pluginVariables(bundle, api.target, options) },
        secret: { variable: "PLUGIN_SUPERVISOR_API_TOKEN_FD", value: api.token },
        // The SDK watches its life line; the kernel's signal is for plugins that don't. A Python one gets the chance
        // to end by itself and to take its children along.
        parentDeathSignal: command.kind === "python" ? "SIGTERM" : "SIGKILL",
      },
      handshake: MATTERMOST_HANDSHAKE,
      socketDirectory: api.socketDirectory,
      tls: options.autoMtls === undefined ? undefined : { autoMtls: options.autoMtls },
      shutdownLimit: options.shutdownLimit,
      startTimeout: options.startTimeout ?? PLUGIN_START_TIMEOUT,
      maxMessageSize: options.maxMessageSize ?? MAX_MESSAGE_SIZE,
      allowForeignAddress: options.allowForeignAddress,
    })
    yield* Effect.forkScoped(
      Effect.flatMap(started.process.secretTaken, (taken) => (taken ? api.requireToken : Effect.void)),
    )
    return started
  })

  return {
    start: Effect.fn("PluginRuns.start")(function* (bundle: PluginBundle, options: SupervisorOptions = {}) {
      const pluginId = bundle.manifest.id
      const owner = yield* Effect.scope
      const deactivateLimit = options.deactivateLimit ?? DEACTIVATE_LIMIT
      const scopes = { api: yield* Scope.make(), process: yield* Scope.make(), dispatch: yield* Scope.make() }
      let plugin: GoPlugin | undefined
      let registration: Registration | undefined
      let activated: HookClient | undefined

      /** What a plugin is asked at its end. One that has died is not asked, and one that dies on the way not waited for. */
      const unlessDead = (step: Effect.Effect<unknown> = Effect.void) =>
        plugin === undefined ? Effect.void : Effect.raceFirst(step, plugin.process.exit)

      /** The order of a stop: all that a run holds, each step with a bound. A start that has failed has a part of it. */
      const release = inOrder(pluginId, [
        // No hook and no request reaches the plugin any more; those that have may end, and events are delivered.
        Effect.suspend(() => unlessDead(registration?.withdraw(options.drainLimit ?? DRAIN_LIMIT))),
        Scope.close(scopes.dispatch, Exit.void),
        // OnDeactivate, of a plugin that was activated.
        Effect.suspend(() => unlessDead(activated && deactivate(activated, deactivateLimit))),
        // GRPCController.Shutdown, SIGTERM to the process group, the wait delay, SIGKILL, and what has left the group.
        Scope.close(scopes.process, Exit.void),
        // The server of its host API calls, and the folder of the sockets.
        Scope.close(scopes.api, Exit.void),
      ])
      const ending = yield* Deferred.make<RunEnd>()
      const ended = yield* Deferred.make<RunEnd>()
      const own = yield* Scope.fork(owner)
      const end = (why: RunEnd) =>
        Effect.uninterruptible(
          Effect.flatMap(Deferred.succeed(ending, why), (isFirst) =>
            isFirst
              ? release.pipe(
                  Effect.ensuring(Deferred.succeed(ended, why)),
                  Effect.ensuring(Scope.close(own, Exit.void)),
                )
              : Effect.asVoid(Deferred.await(ended)),
          ),
        )
      const stop = end({ _tag: "Stopped" })
      yield* Scope.addFinalizer(own, stop)

      const begin = Effect.gen(function* () {
        const api = yield* Scope.provide(serveApi(bundle, options), scopes.api)
        const started = yield* Scope.provide(launch(bundle, options, api), scopes.process)
        plugin = started
        const run = yield* Effect.catch(activate(started), (error) => orExited(pluginId, started, error))
        return { run, unexpected: unexpectedEnd(started, api) }
      })
      const activate = Effect.fnUntraced(function* (started: GoPlugin) {
        const hooks = yield* hookClients.connect(started.client, pluginId, {
          ...options.hooks,
          // The plugin is told the limit there is.
          policies: { ...options.hooks?.policies, onDeactivate: { deadline: deactivateLimit } },
        })
        yield* configureAndActivate(hooks)
        activated = hooks
        registration = yield* Scope.provide(activePlugins.register(hooks), scopes.dispatch)
        return {
          bundle,
          generation: registration.generation,
          hooks,
          process: started.process,
          ping: started.ping,
          stop,
          ending: Deferred.await(ending),
          ended: Deferred.await(ended),
        } satisfies PluginRun
      })
      // Once there is a run, it is watched.
      return yield* Effect.uninterruptibleMask((restore) =>
        Effect.map(
          Effect.tap(
            Effect.onError(restore(begin), () => stop),
            ({ unexpected }) => Effect.forkIn(Effect.flatMap(unexpected, end), owner),
          ),
          ({ run }) => run,
        ),
      )
    }),
  }
})

/** One step after the other; a fault of the host's own in one does not keep the next from being taken. */
const inOrder = (pluginId: string, steps: ReadonlyArray<Effect.Effect<unknown>>): Effect.Effect<void> =>
  Effect.forEach(
    steps,
    (step) =>
      Effect.catchCause(step, (cause) => Effect.logError(`plugin ${pluginId}: a step of its stop failed`, cause)),
    { discard: true },
  )

/** The contract's order: the configuration first, whose failure is only logged, then the activation, whose isn't. */
const configureAndActivate = Effect.fn("PluginRuns.activate")(function* (hooks: HookClient) {
  // One that does not say what it implements may not have them.
  yield* Effect.catch(hooks.onConfigurationChange({}), (error) =>
    error._tag === "HookNotImplementedError" ? Effect.void : Effect.logError(error.message),
  )
  yield* Effect.catchTag(Effect.asVoid(hooks.onActivate({})), "HookNotImplementedError", () => Effect.void)
})

const deactivate = Effect.fn("PluginRuns.deactivate")(function* (hooks: HookClient, limit: Duration.Input) {
  if (!hooks.implemented.has("onDeactivate")) return
  yield* hooks.onDeactivate({}).pipe(
    Effect.catch((error) => Effect.logWarning(error.message)),
    Effect.timeoutOrElse({
      duration: limit,
      orElse: () =>
        Effect.logWarning(`plugin ${hooks.pluginId}: OnDeactivate did not end in time and is not waited for`),
    }),
  )
})

/** Waits until a run can't go on. */
const unexpectedEnd = (
  { disconnected, process, reattachConfig }: GoPlugin,
  { socketDirectory, target }: { readonly socketDirectory: string; readonly target: string },
): Effect.Effect<RunEnd> => {
  const sockets = [target.replace(/^unix:/, ""), reattachConfig.Addr.String]
  const ours = sockets.filter((path) => path.startsWith(socketDirectory))
  return Effect.raceAllFirst([
    Effect.map(process.exit, (exit): RunEnd => ({ _tag: "Exited", exit })),
    Effect.map(SocketDirectory.lost(socketDirectory, ours), (path): RunEnd => ({ _tag: "Lost", path })),
    Effect.as(disconnected, { _tag: "Disconnected" } as const),
  ])
}

/** What a failing start has to say: that the process has ended says more than that a call did not reach it. */
const orExited = Effect.fnUntraced(function* <E extends { readonly message: string }>(
  pluginId: string,
  { process }: GoPlugin,
  error: E,
): Effect.fn.Return<never, E | PluginExitedError> {
  const exit = yield* Effect.timeoutOption(process.exit, EXIT_SEEN_LIMIT)
  if (Option.isNone(exit)) return yield* Effect.fail(error)
  const stderr = yield* process.stderrTail
  return yield* new PluginExitedError({ pluginId, detail: error.message, exit: describeExit(exit.value), stderr })
})

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
  ...(options.maxMessageSize === undefined ? {} : { PLUGIN_SUPERVISOR_MESSAGE_LIMIT: String(options.maxMessageSize) }),
})
