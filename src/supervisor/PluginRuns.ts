import { isAbsolute } from "node:path"
import { Context, Deferred, Duration, Effect, Exit, Layer, Option, Scope } from "effect"
import { PluginApiServer } from "../api/PluginApiServer.ts"
import { checkIntegrity } from "../bundle/BundleIntegrity.ts"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import { type Command, PluginCommand, whyMissing } from "../command/PluginCommand.ts"
import type { GoPlugin } from "../goplugin/GoPlugin.ts"
import { GoPluginClient } from "../goplugin/GoPluginClient.ts"
import { HandshakeError } from "../goplugin/Handshake.ts"
import { RuntimeDirectory } from "../goplugin/SocketDirectory.ts"
import { MAX_MESSAGE_SIZE } from "../rpc/RpcLimits.ts"
import { outsideTrace } from "../rpc/RpcTrace.ts"
import { VARIABLES } from "../command/Variables.ts"
import { ownVariables } from "../contract/Contract.ts"
import type { Registration } from "../hooks/ActivePlugins.ts"
import { type HookClient, Hooks, unaryHooks } from "../hooks/Hooks.ts"
import { withOffers } from "../hooks/PluginOffers.ts"
import { describeExit } from "../process/ProcessSpec.ts"
import { checkReach, findUser, type ProcessUser, type Reach } from "../process/ProcessUser.ts"
import { monitor, observe } from "./HealthMonitor.ts"
import type { HostSide } from "./HostSide.ts"
import { PluginExitedError, type PluginRun, type PluginStartError, type RunEnd } from "./PluginRun.ts"
import { keepApi, serveApi, type ServedApi } from "./ServedApi.ts"
import {
  type AnySupervisorOptions,
  DEACTIVATE_LIMIT,
  DRAIN_LIMIT,
  PLUGIN_START_TIMEOUT,
  STREAM_LIMIT,
  variablesOf,
} from "./SupervisorOptions.ts"

/** How long after a call's failure the end of the process may be seen that is its reason. */
const EXIT_SEEN_LIMIT = Duration.millis(200)

/**
 * Starts runs of plugins. A run owns all that belongs to one start: its folder for sockets, the server of its host API
 * calls, its process, the connection to it, its place in the dispatch. All of it is let go when the run is stopped, when
 * its Scope closes, or when the process ends by itself, whichever is first; a start that fails leaves nothing either.
 */
export class PluginRuns extends Context.Service<
  PluginRuns,
  {
    /** Starts a plugin of a host; it is active when this returns. */
    readonly start: (
      host: HostSide,
      bundle: PluginBundle,
      options?: AnySupervisorOptions,
    ) => Effect.Effect<PluginRun, PluginStartError, Scope.Scope>
  }
>()("effect-plugin-supervisor/supervisor/PluginRuns") {
  static readonly layer: Layer.Layer<PluginRuns, never, PluginApiServer | PluginCommand | GoPluginClient | Hooks> =
    Layer.effect(
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
  // Of this Layer, and not of whoever starts a plugin.
  const runtimeDirectory = yield* RuntimeDirectory

  const commandOf = ({ api: { contract } }: HostSide, bundle: PluginBundle, options: AnySupervisorOptions) =>
    commands.fromManifest(bundle, {
      ...options,
      reservedVariables: ownVariables(contract).map((name) => name.toUpperCase()),
    })

  const launch = Effect.fnUntraced(function* (
    { api: { contract } }: HostSide,
    bundle: PluginBundle,
    options: AnySupervisorOptions,
    command: Command,
    api: ServedApi,
    user: ProcessUser | undefined,
  ) {
    yield* commands.verifyChecksums(command)
    if (bundle.installedHash !== undefined) yield* checkIntegrity(bundle.directory, bundle.installedHash)
    if (user !== undefined) yield* checkReach(bundle.manifest.id, user, reachOf(command, api))
    const starting = goPlugins.start({
      process: {
        ...command,
        env: {
          ...command.env,
          ...homeOf(command, user),
          // Python would keep what it has compiled in the bundle, which then is not what was installed.
          ...(bundle.installedHash === undefined ? {} : { PYTHONDONTWRITEBYTECODE: "1" }),
          ...variablesOf(contract, bundle, api.target, options),
        },
        secret: { variable: VARIABLES.apiToken, value: api.token },
        // The SDK watches its life line; the kernel's signal is for plugins that don't. A Python one gets the chance
        // to end by itself and to take its children along.
        parentDeathSignal: command.kind === "python" ? "SIGTERM" : "SIGKILL",
        limits: options.limits,
        user,
      },
      handshake: contract.handshake,
      socketDirectory: api.socketDirectory,
      socketGroup: user?.gid,
      tls: options.autoMtls === undefined ? undefined : { autoMtls: options.autoMtls },
      ttrpc:
        options.transport === "grpc" ? undefined : { serve: api.serveOn, isRequired: options.transport === "ttrpc" },
      shutdownLimit: options.shutdownLimit,
      startTimeout: options.startTimeout ?? PLUGIN_START_TIMEOUT,
      maxMessageSize: options.maxMessageSize ?? MAX_MESSAGE_SIZE,
      allowForeignAddress: options.allowForeignAddress,
      isVerbose: options.logLevel === "DEBUG",
    })
    const started = yield* Effect.catchTag(starting, "HandshakeError", (error) => {
      const { detail, executable, exit, kind, pluginId, stderr } = error
      const diagnosis = [...error.diagnosis, ...whyMissing(command, stderr)]
      return Effect.fail(new HandshakeError({ detail, diagnosis, executable, exit, kind, pluginId, stderr }))
    })
    yield* Effect.forkScoped(
      Effect.flatMap(started.process.secretTaken, (taken) => (taken ? api.requireToken : Effect.void)),
    )
    return started
  })

  const start = Effect.fn("PluginRuns.start")(
    function* (host: HostSide, bundle: PluginBundle, options: AnySupervisorOptions = {}) {
      const pluginId = bundle.manifest.id
      const owner = yield* Effect.scope
      const deactivateLimit = options.deactivateLimit ?? DEACTIVATE_LIMIT
      const scopes = { api: yield* Scope.make(), process: yield* Scope.make(), dispatch: yield* Scope.make() }
      let plugin: GoPlugin | undefined
      let registration: Registration | undefined
      let activated: HookClient | undefined

      let isUnresponsive = false

      /**
       * What a plugin is asked at its end. One that has died, or answers nobody, is not asked, and one that dies on the way not
       * waited for.
       */
      const unlessDead = (step: Effect.Effect<unknown> = Effect.void) =>
        // Its end first: then the step is not begun at all.
        plugin === undefined || isUnresponsive ? Effect.void : Effect.raceFirst(plugin.process.exit, step)

      /** The order of a stop: all that a run holds, each step with a bound. A start that has failed has a part of it. */
      const release = inOrder(pluginId, [
        // No hook and no request reaches the plugin any more; those that have may end, and events are delivered.
        Effect.suspend(() =>
          unlessDead(registration?.withdraw(options.drainLimit ?? DRAIN_LIMIT, options.streamLimit ?? STREAM_LIMIT)),
        ),
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
              ? Effect.sync(() => (isUnresponsive = why._tag === "Unresponsive")).pipe(
                  Effect.andThen(release),
                  Effect.ensuring(Deferred.succeed(ended, why)),
                  Effect.ensuring(Scope.close(own, Exit.void)),
                )
              : Effect.asVoid(Deferred.await(ended)),
          ),
        )
      const stop = end({ _tag: "Stopped" })
      yield* Scope.addFinalizer(own, stop)

      const begin = Effect.gen(function* () {
        const { group, user: name } = options.limits ?? {}
        const user = name === undefined ? undefined : yield* findUser(pluginId, name, group)
        // Both are little work, and much waiting for the disk.
        const [api, command] = yield* Effect.all(
          [
            Scope.provide(serveApi(apiServer, host.api, bundle, options, user?.gid), scopes.api),
            commandOf(host, bundle, options),
          ],
          { concurrency: 2 },
        )
        const started = yield* Scope.provide(launch(host, bundle, options, command, api, user), scopes.process)
        plugin = started
        const run = yield* Effect.catch(activate(started, api), (error) => orExited(pluginId, started, error))
        const unexpected = [keepApi(pluginId, api), ...watchHealth(run, options)]
        return { run, unexpected: unexpectedEnd(started, unexpected) }
      })
      const activate = Effect.fnUntraced(function* (started: GoPlugin, api: ServedApi) {
        const connected = yield* hookClients.connect(host.api.contract, started.client, pluginId, {
          ...options.hooks,
          // The plugin is told the limit there is.
          policies: { ...options.hooks?.policies, onDeactivate: { deadline: deactivateLimit } },
        })
        yield* configureAndActivate(connected)
        activated = connected
        // Whatever its activation has done, it is well before anybody is handed to it.
        yield* Effect.mapError(started.ping, ({ message }) => unwell(pluginId, message))
        const owner = {
          pid: started.process.pid,
          folders: [api.socketDirectory],
          allowForeignAddress: options.allowForeignAddress ?? false,
        }
        // Until the process has ended: it may end its answers while it stops.
        const client = yield* Scope.provide(withOffers(connected, owner), scopes.api)
        registration = yield* Scope.provide(host.active.register(client), scopes.dispatch)
        return {
          bundle,
          generation: registration.generation,
          hooks: unaryHooks(client),
          client,
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
            ({ unexpected }) => Effect.forkIn(outsideTrace(Effect.flatMap(unexpected, end)), owner),
          ),
          ({ run }) => run,
        ),
      )
    },
    Effect.provideService(RuntimeDirectory, runtimeDirectory),
  )
  return { start }
})

/** What a plugin of another user has to reach: its program, what that is told to run, and where its sockets are. */
const reachOf = ({ args, cwd, executable }: Command, { socketDirectory }: ServedApi): ReadonlyArray<Reach> => [
  { path: cwd, access: "rx" },
  { path: executable, access: "x" },
  ...args.filter((arg) => isAbsolute(arg)).map((path) => ({ path, access: "r" })),
  { path: socketDirectory, access: "rwx" },
]

/** Another user is at home elsewhere. */
const homeOf = ({ env }: Command, user: ProcessUser | undefined): { readonly HOME?: string } =>
  user?.home === undefined || env["HOME"] === undefined ? {} : { HOME: user.home }

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
  yield* Effect.catch(hooks.call("onConfigurationChange", {}), (error) =>
    error._tag === "HookNotImplementedError" ? Effect.void : Effect.logError(error.message),
  )
  yield* Effect.catchTag(Effect.asVoid(hooks.call("onActivate", {})), "HookNotImplementedError", () => Effect.void)
})

const deactivate = Effect.fn("PluginRuns.deactivate")(function* (hooks: HookClient, limit: Duration.Input) {
  if (!hooks.implemented.has("onDeactivate")) return
  yield* hooks.call("onDeactivate", {}).pipe(
    Effect.catch((error) =>
      error._tag === "HookNotImplementedError" ? Effect.void : Effect.logWarning(error.message),
    ),
    Effect.timeoutOrElse({
      duration: limit,
      orElse: () =>
        Effect.logWarning(`plugin ${hooks.pluginId}: OnDeactivate did not end in time and is not waited for`),
    }),
  )
})

/** Waits until a run can't go on. */
const unexpectedEnd = (
  { disconnected, process }: GoPlugin,
  others: ReadonlyArray<Effect.Effect<RunEnd>>,
): Effect.Effect<RunEnd> =>
  Effect.raceAllFirst([
    Effect.map(process.exit, (exit): RunEnd => ({ _tag: "Exited", exit })),
    Effect.as(disconnected, { _tag: "Disconnected" } as const),
    ...others,
  ])

/** What completes when a plugin is stopped or deadlocked; nothing where nobody is to see to that. */
const watchHealth = (
  { client: { calls, pluginId }, ping, process }: PluginRun,
  { health = {} }: AnySupervisorOptions,
): ReadonlyArray<Effect.Effect<RunEnd>> =>
  health === false ? [] : [monitor({ pluginId, ping, answers: calls.answers, observe: observe(process.pid) }, health)]

const unwell = (pluginId: string, message: string) =>
  new HandshakeError({
    pluginId,
    kind: "unhealthy",
    detail: `it was activated, but its health check failed: ${message}`,
    stderr: [],
    diagnosis: [],
  })

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
