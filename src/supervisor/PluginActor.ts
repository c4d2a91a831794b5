import { Cause, Clock, Duration, Effect, Exit, Fiber, Metric, Option, Scope, Semaphore, SubscriptionRef } from "effect"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import { describeExit } from "../process/ProcessSpec.ts"
import { after, type Failure, type LifeEvent, NOT_RUNNING, type PluginState, type Told } from "./PluginLife.ts"
import { describeEnd, type PluginRun, type PluginStartError, PluginStoppedError } from "./PluginRun.ts"
import type { SupervisedPlugin } from "./PluginSupervisor.ts"
import * as RestartPolicy from "./RestartPolicy.ts"

/** What an actor does its work by. */
export interface Means {
  /** Starts a run in a scope. */
  readonly begin: (bundle: PluginBundle, scope: Scope.Scope) => Effect.Effect<PluginRun, PluginStartError>
  /** `ActivePlugins.expect`, of this plugin. */
  readonly expect: (isExpected: boolean) => Effect.Effect<void>
  /** How it is started again by itself; `undefined`: not at all. */
  readonly restart: RestartPolicy.RestartOptions | undefined
}

/** Starts that were made by themselves, by `plugin`. */
const restartsMade = Metric.counter("plugin_restarts", {
  description: "Starts of plugins that had ended unexpectedly or could not be started",
  incremental: true,
})

/** Whether a start has come to nothing because of a stop. */
const isStopped = (cause: Cause.Cause<PluginStartError>): boolean =>
  Cause.hasInterruptsOnly(cause) || Option.getOrUndefined(Cause.findErrorOption(cause))?._tag === "PluginStoppedError"

/** The reason of a failed start, as the end of a sentence. */
const why = (cause: Cause.Cause<PluginStartError>): string =>
  Option.match(Cause.findErrorOption(cause), { onNone: () => "", onSome: ({ message }) => `: ${message}` })

const isExclusive = ({ manifest }: PluginBundle): boolean => manifest.server?.exclusive === true

/** One plugin's actor. */
export const make = Effect.fnUntraced(function* (
  first: PluginBundle,
  { begin, expect, restart }: Means,
): Effect.fn.Return<SupervisedPlugin, never, Scope.Scope> {
  const { id } = first.manifest
  const scope = yield* Effect.scope
  const state = yield* SubscriptionRef.make<PluginState>(NOT_RUNNING)
  /** Whoever holds it carries out a command; the others wait in their order. */
  const command = yield* Semaphore.make(1)
  const restarts = restart === undefined ? undefined : RestartPolicy.make(restart)
  let bundle = first
  let run: PluginRun | undefined
  /** Whether it was active since an operator has started it; and since when it is. */
  let hasRun = false
  let activeSince = 0
  /** Completes when nothing is left of the run before. */
  let left: Effect.Effect<unknown> = Effect.void
  let starting: Fiber.Fiber<PluginRun, PluginStartError> | undefined
  /** Sleeps until the next try. */
  let sleeping: Fiber.Fiber<void> | undefined
  /** Tells a try that is due from one that has been overtaken by a command. */
  let era = 0
  /** Stops that are to be carried out: no start begins before them. */
  let stops = 0

  const happened = (event: LifeEvent, told?: Told) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      SubscriptionRef.update(state, (current) => after(current, event, now, told)),
    )

  /** Nobody starts it any more but by a command. */
  const cancelTry = Effect.suspend(() => {
    era++
    const fiber = sleeping
    sleeping = undefined
    return fiber === undefined ? Effect.void : Fiber.interrupt(fiber)
  })

  const tryAfter = Effect.fnUntraced(function* (millis: number) {
    const own = era
    const due = Effect.suspend(() => (own === era ? Effect.ignore(beginRun(true)) : Effect.void))
    sleeping = yield* Effect.sleep(Duration.millis(millis)).pipe(
      Effect.andThen(Effect.sync(() => void (sleeping = undefined))),
      Effect.andThen(command.withPermit(due)),
      Effect.annotateLogs({ plugin_id: id }),
      Effect.forkIn(scope),
    )
  })

  /** It has failed: what becomes of it now. */
  const fail = Effect.fnUntraced(function* (failure: Failure, mayPass: boolean, activeMillis = 0) {
    const decision: RestartPolicy.Decision =
      restarts === undefined || !mayPass ? { _tag: "Never" } : yield* restarts.failed(activeMillis)
    const event = !hasRun ? "failed" : decision._tag === "Soon" ? "retry" : "ended"
    // What counts as failed is not waited for, although it is tried again.
    if (event !== "retry") yield* expect(false)
    const told = { error: failure.reason, lastFailure: failure }
    if (decision._tag === "Never") return yield* happened(event, told)
    yield* happened(event, { ...told, nextTry: failure.at + decision.millis })
    yield* tryAfter(decision.millis)
    const when = Duration.format(Duration.millis(decision.millis))
    yield* decision._tag === "Soon"
      ? Effect.logWarning(`plugin ${id} is started again in ${when}`)
      : Effect.logError(`plugin ${id} has failed too often, and is tried again in ${when}; its own start does so now`)
  })

  /** Sees to a run that ends without being told to. */
  const watch = Effect.fnUntraced(function* (watched: PluginRun) {
    const end = yield* watched.ending
    const isCurrent = run === watched
    if (isCurrent) run = undefined
    if (end._tag === "Stopped") return
    const reason = describeEnd(id, end)
    yield* Effect.logError(reason)
    if (!isCurrent) return
    const at = yield* Clock.currentTimeMillis
    const exit = end._tag === "Exited" ? describeExit(end.exit) : undefined
    const failure: Failure = { at, reason, exit, stderr: yield* watched.process.stderrTail }
    // While it is reloaded, the next run is on its way.
    if (starting !== undefined) yield* happened("replaced", { lastFailure: failure })
    else yield* fail(failure, true, at - activeSince)
    // What it wrote right before its end has been read by the time that nothing is left of it.
    yield* watched.ended
    const stderr = yield* watched.process.stderrTail
    yield* SubscriptionRef.update(state, (current) =>
      current.lastFailure === failure ? { ...current, lastFailure: { ...failure, stderr } } : current,
    )
  })

  const failed = Effect.fnUntraced(function* (
    cause: Cause.Cause<PluginStartError>,
  ): Effect.fn.Return<never, PluginStartError> {
    if (isStopped(cause)) return yield* new PluginStoppedError({ pluginId: id })
    const error = Option.getOrUndefined(Cause.findErrorOption(cause))
    const reason = error?.message ?? `plugin ${id} did not start, by a fault of the host's own; see its log`
    if (error === undefined) yield* Effect.logError(reason, cause)
    const at = yield* Clock.currentTimeMillis
    const { exit, stderr } = { exit: undefined, stderr: [], ...(error as Partial<Failure> | undefined) }
    yield* fail({ at, reason, exit, stderr }, error === undefined || RestartPolicy.mayPass(error))
    return yield* Effect.failCause(cause)
  })

  const launch = Effect.fnUntraced(function* (from: PluginBundle) {
    if (stops > 0) return Exit.fail(new PluginStoppedError({ pluginId: id }))
    starting = yield* Effect.forkIn(begin(from, scope), scope)
    const exit = yield* Fiber.await(starting)
    starting = undefined
    return exit
  })

  const began = Effect.fnUntraced(function* (begun: PluginRun, of: PluginBundle) {
    const { version } = of.manifest
    const before = bundle.manifest.version
    const named = version === undefined || version === "" || version === before ? "" : ` in version ${version}`
    yield* Effect.logInfo(`plugin ${id} is active${named}`)
    bundle = of
    run = begun
    left = begun.ended
    hasRun = true
    activeSince = yield* Clock.currentTimeMillis
    yield* happened("started")
    yield* Effect.forkIn(watch(begun), scope)
    return begun
  })

  const beginRun = Effect.fnUntraced(function* (isRetry: boolean): Effect.fn.Return<PluginRun, PluginStartError> {
    if (run !== undefined) return run
    yield* cancelTry
    yield* left
    if (isRetry) {
      yield* Metric.update(Metric.withAttributes(restartsMade, { plugin: id }), 1)
      yield* happened("start", { restarts: SubscriptionRef.getUnsafe(state).restarts + 1 })
    } else {
      hasRun = false
      if (restarts !== undefined) yield* restarts.reset
      yield* happened("start", { restarts: 0, lastFailure: undefined })
    }
    if (restarts !== undefined) yield* expect(true)
    const exit = yield* launch(bundle)
    if (Exit.isSuccess(exit)) return yield* began(exit.value, bundle)
    if (isRetry) yield* logFailed(exit.cause)
    return yield* failed(exit.cause)
  })

  const logFailed = (cause: Cause.Cause<PluginStartError>) =>
    Option.match(Cause.findErrorOption(cause), {
      onNone: () => Effect.void,
      onSome: ({ message }) => Effect.logError(message),
    })

  /** Puts a run of a bundle in the place of the one there is. */
  const replaceRun = Effect.fnUntraced(function* (
    before: PluginRun,
    to: PluginBundle,
  ): Effect.fn.Return<PluginRun, PluginStartError> {
    const exit = yield* launch(to)
    if (Exit.isSuccess(exit)) {
      const begun = yield* began(exit.value, to)
      yield* before.stop
      return begun
    }
    // The one before has ended meanwhile: there is none.
    if (run !== before) return yield* failed(exit.cause)
    if (isStopped(exit.cause)) return yield* new PluginStoppedError({ pluginId: id })
    yield* Effect.logError(
      `plugin ${id} goes on as it is, since what was to take its place did not start${why(exit.cause)}`,
    )
    return yield* Effect.failCause(exit.cause)
  })

  /** The same for a plugin that must not run twice: what comes for it meanwhile waits. */
  const stopAndStart = Effect.fnUntraced(function* (
    before: PluginRun,
    to: PluginBundle,
  ): Effect.fn.Return<PluginRun, PluginStartError> {
    yield* expect(true)
    yield* happened("retry", { isReloading: true })
    run = undefined
    yield* before.stop
    yield* happened("start", { isReloading: true })
    const exit = yield* launch(to)
    const isBack = Exit.isFailure(exit) && to !== bundle && !isStopped(exit.cause)
    if (isBack)
      yield* Effect.logError(
        `plugin ${id} goes back to what it was, since what was to take its place did not start${why(exit.cause)}`,
      )
    const last = isBack ? yield* launch(bundle) : exit
    if (Exit.isFailure(last)) return yield* failed(last.cause)
    yield* began(last.value, isBack ? bundle : to)
    if (restarts === undefined) yield* expect(false)
    return yield* exit
  })

  const reload = Effect.fnUntraced(function* (to: PluginBundle): Effect.fn.Return<PluginRun, PluginStartError> {
    if (run === undefined) {
      bundle = to
      return yield* beginRun(false)
    }
    if (restarts !== undefined) yield* restarts.reset
    return yield* isExclusive(bundle) || isExclusive(to) ? stopAndStart(run, to) : replaceRun(run, to)
  })

  const endRun = Effect.gen(function* () {
    yield* cancelTry
    yield* happened("stop")
    yield* expect(false)
    if (run !== undefined) yield* run.stop
    yield* left
    yield* happened("stopped")
    // A failure is not hidden, but nobody tries again.
    yield* SubscriptionRef.update(state, ({ nextTry: _, ...rest }) => rest)
    stops--
  })

  const stop = Effect.suspend(() => {
    stops++
    return starting === undefined ? Effect.void : Effect.andThen(happened("stop"), Fiber.interrupt(starting))
  }).pipe(Effect.andThen(command.withPermit(endRun)), Effect.uninterruptible, Effect.annotateLogs({ plugin_id: id }))
  yield* Effect.addFinalizer(() => stop)

  /** Carried out by the actor itself: whoever gives the command may leave. */
  const carriedOut = <A, E>(what: () => Effect.Effect<A, E>) =>
    Effect.flatMap(
      Effect.suspend(() => Effect.forkIn(command.withPermit(Effect.suspend(what)), scope)),
      Fiber.join,
    ).pipe(Effect.annotateLogs({ plugin_id: id }))

  return {
    get bundle() {
      return bundle
    },
    state,
    run: Effect.sync(() =>
      SubscriptionRef.getUnsafe(state).name === "Running" ? Option.fromNullishOr(run) : Option.none(),
    ),
    start: carriedOut(() => beginRun(false)),
    stop,
    reload: carriedOut(() => reload(bundle)),
    replace: (next) =>
      next.manifest.id === id
        ? carriedOut(() => reload(next))
        : Effect.die(new Error(`${next.directory} is a bundle of ${next.manifest.id}, and not of ${id}`)),
  }
})
