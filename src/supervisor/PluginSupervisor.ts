import { Cause, Clock, Effect, Exit, Fiber, Option, Scope, Semaphore, SubscriptionRef } from "effect"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import type { AnyContract } from "../contract/Contract.ts"
import type { UnaryHooks } from "../hooks/Hooks.ts"
import type { HostSide } from "./HostSide.ts"
import { after, type LifeEvent, type PluginState } from "./PluginLife.ts"
import { describeEnd, type PluginRun, type PluginStartError, PluginStoppedError } from "./PluginRun.ts"
import { PluginRuns } from "./PluginRuns.ts"
import type { SupervisorOptions } from "./SupervisorOptions.ts"

/**
 * A plugin under supervision. Its commands are carried out one after the other, whoever gives them; a stop ends a start
 * that has not come to its end. `H` are its hooks as methods.
 */
export interface SupervisedPlugin<out H = object> {
  readonly bundle: PluginBundle
  /** The plugin's state, for everybody who wants to see it change. */
  readonly state: SubscriptionRef.SubscriptionRef<PluginState>
  /** The run there is; `None` in every state but `Running`. */
  readonly run: Effect.Effect<Option.Option<PluginRun<H>>>
  /** Starts the plugin, and answers its run when it is active, or when it is so already. */
  readonly start: Effect.Effect<PluginRun<H>, PluginStartError>
  /** Stops the plugin; returns when nothing is left of it. A plugin that does not run is no error. */
  readonly stop: Effect.Effect<void>
}

/** The lives of a host's plugins, each in one place: who may start and stop it, and what state it is in. */
export interface PluginSupervisor<C extends AnyContract> {
  /** Takes a plugin under supervision, and starts nothing yet. It is stopped when the Scope closes. */
  readonly supervise: (
    bundle: PluginBundle,
    options?: SupervisorOptions<C>,
  ) => Effect.Effect<SupervisedPlugin<UnaryHooks<C>>, never, Scope.Scope>
  /** Takes a plugin under supervision and starts it; it is active when this returns, and part of every dispatch. */
  readonly start: (
    bundle: PluginBundle,
    options?: SupervisorOptions<C>,
  ) => Effect.Effect<PluginRun<UnaryHooks<C>>, PluginStartError, Scope.Scope>
}

/** The supervisor of a host's plugins. */
export const make = <C extends AnyContract>(host: HostSide): Effect.Effect<PluginSupervisor<C>, never, PluginRuns> =>
  Effect.map(PluginRuns, (runs) => {
    const supervise = Effect.fnUntraced(function* (bundle: PluginBundle, options: SupervisorOptions<C> = {}) {
      // Outlives what is started: a plugin that has to agree and failed has not agreed.
      yield* host.require(bundle.manifest.id, { ...options.hooks })
      const supervised = yield* actor(bundle, (scope) => Scope.provide(runs.start(host, bundle, options), scope))
      // Its hooks are those of the host's contract.
      return supervised as SupervisedPlugin<UnaryHooks<C>>
    })
    return {
      supervise,
      start: Effect.fnUntraced(function* (bundle, options) {
        return yield* (yield* supervise(bundle, options)).start
      }),
    }
  })

/** One plugin's actor. `begin` starts a run in a scope. */
const actor = Effect.fnUntraced(function* (
  bundle: PluginBundle,
  begin: (scope: Scope.Scope) => Effect.Effect<PluginRun, PluginStartError>,
): Effect.fn.Return<SupervisedPlugin, never, Scope.Scope> {
  const { id } = bundle.manifest
  const scope = yield* Effect.scope
  const state = yield* SubscriptionRef.make<PluginState>({ name: "NotRunning", since: 0 })
  /** Whoever holds it carries out a command; the others wait in their order. */
  const command = yield* Semaphore.make(1)
  let run: PluginRun | undefined
  /** Completes when nothing is left of the run before. */
  let left: Effect.Effect<unknown> = Effect.void
  let starting: Fiber.Fiber<PluginRun, PluginStartError> | undefined
  /** Stops that are to be carried out: no start begins before them. */
  let stops = 0

  const happened = (event: LifeEvent, error?: string) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      SubscriptionRef.update(state, (current) => after(current, event, now, error)),
    )

  /** Tells of a run that ends without being told to. */
  const watch = (watched: PluginRun) =>
    Effect.flatMap(watched.ending, (end) => {
      if (run === watched) run = undefined
      if (end._tag === "Stopped") return Effect.void
      const error = describeEnd(id, end)
      return Effect.andThen(happened("ended", error), Effect.logError(error))
    })

  const failed = Effect.fnUntraced(function* (
    cause: Cause.Cause<PluginStartError>,
  ): Effect.fn.Return<never, PluginStartError> {
    if (Cause.hasInterruptsOnly(cause)) return yield* new PluginStoppedError({ pluginId: id })
    const error = Cause.findErrorOption(cause)
    if (Option.isSome(error)) {
      yield* happened("failed", error.value.message)
    } else {
      const message = `plugin ${id} did not start, by a fault of the host's own; see its log`
      yield* happened("failed", message)
      yield* Effect.logError(message, cause)
    }
    return yield* Effect.failCause(cause)
  })

  const beginRun = Effect.gen(function* () {
    if (run !== undefined) return run
    yield* left
    yield* happened("start")
    if (stops > 0) return yield* new PluginStoppedError({ pluginId: id })
    starting = yield* Effect.forkIn(begin(scope), scope)
    const exit = yield* Fiber.await(starting)
    starting = undefined
    if (Exit.isFailure(exit)) return yield* failed(exit.cause)
    run = exit.value
    left = run.ended
    yield* happened("started")
    yield* Effect.forkIn(watch(run), scope)
    return run
  })

  const endRun = Effect.gen(function* () {
    yield* happened("stop")
    if (run !== undefined) yield* run.stop
    yield* left
    yield* happened("stopped")
    stops--
  })

  const stop = Effect.suspend(() => {
    stops++
    return starting === undefined ? Effect.void : Effect.andThen(happened("stop"), Fiber.interrupt(starting))
  }).pipe(Effect.andThen(command.withPermit(endRun)), Effect.uninterruptible, Effect.annotateLogs({ plugin_id: id }))
  yield* Effect.addFinalizer(() => stop)

  return {
    bundle,
    state,
    run: Effect.sync(() =>
      SubscriptionRef.getUnsafe(state).name === "Running" ? Option.fromNullishOr(run) : Option.none(),
    ),
    // Carried out by the actor itself: whoever gives the command may leave.
    start: Effect.flatMap(
      Effect.suspend(() => Effect.forkIn(command.withPermit(beginRun), scope)),
      Fiber.join,
    ).pipe(Effect.annotateLogs({ plugin_id: id })),
    stop,
  }
})
