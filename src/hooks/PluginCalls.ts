import { Clock, Context, Duration, Effect, Exit, Option, type Tracer } from "effect"
import {
  BREAKER_PAUSE,
  type CallEnd,
  type CircuitBreaker,
  endOfExit,
  endOfInterrupted,
  endOf,
  make as makeBreaker,
} from "./CircuitBreaker.ts"
import { isTraced } from "../rpc/RpcTrace.ts"
import { type HookError, HookSuspendedError } from "./HookError.ts"
import { failedOutcome, type HookMeter, INTERRUPTED, meterOf, outcomeOf } from "./HookMetrics.ts"
import type { EffectivePolicy } from "./HookPolicy.ts"
import type { InFlight } from "./InFlight.ts"

/** A call that has begun; one of these says how it has ended. Each answers whether its hook's circuit is open by that. */
export interface BegunCall {
  readonly meter: HookMeter
  /** The plugin has answered, or this has kept it from answering. */
  readonly answered: (error: HookError | undefined) => boolean
  /** Nobody waits for it any more. */
  readonly interrupted: () => boolean
  readonly exited: (exit: Exit.Exit<unknown, HookError>) => boolean
}

/**
 * What every call to one run of a plugin passes, whatever carries it, a message or HTTP: the hook's deadline, the circuit
 * breaker, metrics, and a span.
 */
export interface PluginCalls {
  readonly breaker: CircuitBreaker
  /** How many calls the plugin has answered so far, be it with an error of its own. */
  readonly answers: () => number
  /** What the plugin had against its settings when it was told of them last; undefined for nothing. */
  readonly settingsProblem: () => string | undefined
  /** Makes a call, which is handed the hook's deadline; with `inFlight` it is counted there while it runs. */
  readonly run: <A, R>(
    hook: string,
    call: (deadline: Duration.Input) => Effect.Effect<A, HookError, R>,
    inFlight?: InFlight,
  ) => Effect.Effect<A, HookError, Exclude<R, Tracer.ParentSpan>>
  /** The same for code without a fiber, which keeps the deadline and makes the span itself. Undefined while the circuit is open. */
  readonly begin: (hook: string, context: Context.Context<never>) => BegunCall | undefined
  /** A call that is not made, since the circuit is open. */
  readonly suspended: (hook: string) => HookSuspendedError
  /** Tells the operator that the circuit to a hook has just been opened. */
  readonly logOpen: (hook: string) => Effect.Effect<void>
}

/** The hook by which plugins of every contract are told of their settings. */
export const SETTINGS_HOOK = "onConfigurationChange"

/** The outcome of a call that did not get to the plugin. */
const UNREACHED = "transport"

/** Makes the calls of one run. `name` is a hook's name as the contract has it. */
export const make = (
  pluginId: string,
  policy: (hook: string) => EffectivePolicy,
  name: (hook: string) => string,
): PluginCalls => {
  const breaker = makeBreaker()
  let answers = 0
  let settingsProblem: string | undefined
  const noteSettings = (exit: Exit.Exit<unknown, HookError>) => {
    const error = Option.getOrUndefined(Exit.findErrorOption(exit))
    settingsProblem = error === undefined || error._tag === "HookNotImplementedError" ? undefined : error.message
  }
  const suspended = (hook: string) => new HookSuspendedError({ pluginId, hook: name(hook) })
  const meters = new Map<string, HookMeter>()
  const meterFor = (hook: string): HookMeter => {
    const known = meters.get(hook)
    if (known !== undefined) return known
    const made = meterOf(pluginId, name(hook))
    meters.set(hook, made)
    return made
  }
  const begin = (hook: string, context: Context.Context<never>): BegunCall | undefined => {
    const clock = Context.get(context, Clock.Clock)
    const began = clock.currentTimeMillisUnsafe()
    const meter = meterFor(hook)
    const passage = breaker.pass(hook, began)
    if (passage === undefined) {
      meter.count(failedOutcome(suspended(hook)), 0, context)
      return undefined
    }
    const end = (outcome: string, howFor: (millis: number) => CallEnd): boolean => {
      const now = clock.currentTimeMillisUnsafe()
      meter.count(outcome, now - began, context)
      const how = howFor(now - began)
      if (how === "answered") answers++
      // A page that is slow says nothing of the others; a server that can't be reached does.
      const isSlowPage = hook === "serveHTTP" && how === "unanswered" && outcome !== UNREACHED
      return passage.end(isSlowPage ? "unknown" : how, now)
    }
    return {
      meter,
      answered: (error) => end(error === undefined ? "ok" : failedOutcome(error), () => endOf(error)),
      interrupted: () => end(INTERRUPTED, endOfInterrupted),
      exited: (exit) => end(outcomeOf(exit), (millis) => endOfExit(exit, millis)),
    }
  }
  const logOpen = (hook: string) =>
    Effect.annotateLogs(
      Effect.logError(
        `plugin ${pluginId}: ${name(hook)} was not answered ${breaker.circuit(hook).failures} times in a row; it is not called for ${Duration.format(BREAKER_PAUSE)}`,
      ),
      { plugin_id: pluginId },
    )
  return {
    breaker,
    answers: () => answers,
    settingsProblem: () => settingsProblem,
    begin,
    suspended,
    logOpen,
    run: <A, R>(
      hook: string,
      call: (deadline: Duration.Input) => Effect.Effect<A, HookError, R>,
      inFlight?: InFlight,
    ) =>
      Effect.contextWith((context: Context.Context<R>): Effect.Effect<A, HookError, R> => {
        let begun: BegunCall | undefined
        let leave: (() => void) | undefined
        // It begins where its end is seen already: an interruption in between would leave the circuit half-open for ever.
        const made = Effect.suspend(() => {
          begun = begin(hook, context)
          if (begun === undefined) return Effect.fail(suspended(hook))
          leave = inFlight?.enter()
          const made = call(policy(hook).deadline)
          return isTraced(context) ? begun.meter.traced(made) : made
        })
        return Effect.onExitPrimitive(made, (exit) => {
          if (begun === undefined) return undefined
          leave?.()
          if (hook === SETTINGS_HOOK) noteSettings(exit)
          return begun.exited(exit) ? logOpen(hook) : undefined
        })
      }) as Effect.Effect<A, HookError, Exclude<R, Tracer.ParentSpan>>,
  }
}
