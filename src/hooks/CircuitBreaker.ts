import { Cause, Clock, Duration, Effect, Exit, Latch, Option } from "effect"
import { HookSuspendedError, type HookError } from "./HookError.ts"

/** Failures to answer in a row after which a hook is not called any more: not a hiccup, and bearable for whoever waits. */
export const BREAKER_FAILURES = 5

/** How long it is not called then. One call tries it again; if that fails too, it rests as long again. */
export const BREAKER_PAUSE: Duration.Duration = Duration.seconds(30)

/** A caller that gives up after as long has waited for an answer and got none. One that leaves earlier says nothing. */
const GIVEN_UP = Duration.seconds(5)

/** Stops calling a hook of one plugin that keeps not answering, so that it does not hold up everybody who would ask it. */
export interface CircuitBreaker {
  readonly call: <A>(
    hook: string,
    call: Effect.Effect<A, HookError>,
  ) => Effect.Effect<A, HookError | HookSuspendedError>
  /** Waits until the hook may be tried again; somebody else may be who tries it. */
  readonly rested: (hook: string) => Effect.Effect<void>
}

/** A hook that is not called for a while. */
interface Rest {
  readonly until: number
  isTried: boolean
  /** Opens when the rest is over, or when the call that tried it has failed. */
  readonly over: Latch.Latch
}

interface HookState {
  failures: number
  rest: Rest | undefined
}

/**
 * Makes the breaker of one plugin. Each hook has a count of its own: one that answers says nothing of one that hangs. What
 * the plugin answers, be it an error of its own, counts as an answer.
 */
export const make = (pluginId: string): CircuitBreaker => {
  const states = new Map<string, HookState>()
  const stateOf = (hook: string): HookState => {
    const state = states.get(hook) ?? { failures: 0, rest: undefined }
    states.set(hook, state)
    return state
  }
  const setRest = (state: HookState, rest: Rest | undefined) => {
    state.rest?.over.openUnsafe()
    state.rest = rest
  }
  const restUntil = (until: number): Rest => ({ until, isTried: false, over: Latch.makeUnsafe() })

  const ended = Effect.fnUntraced(function* (
    hook: string,
    state: HookState,
    trial: Rest | undefined,
    began: number,
    exit: Exit.Exit<unknown, HookError>,
  ) {
    const now = yield* Clock.currentTimeMillis
    const answered = isAnswered(exit, now - began)
    if (answered === undefined) {
      // Nobody knows. Who comes next tries it.
      if (trial !== undefined && state.rest === trial) setRest(state, restUntil(trial.until))
    } else if (answered) {
      state.failures = 0
      setRest(state, undefined)
    } else {
      state.failures++
      const isOver = state.rest === undefined ? state.failures >= BREAKER_FAILURES : state.rest === trial
      if (!isOver) return
      setRest(state, restUntil(now + Duration.toMillis(BREAKER_PAUSE)))
      yield* Effect.logError(
        `plugin ${pluginId}: ${hook} was not answered ${state.failures} times in a row; it is not called for ${Duration.format(BREAKER_PAUSE)}`,
      )
    }
  })

  return {
    rested: (hook) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const { rest } = stateOf(hook)
        if (rest === undefined || (!rest.isTried && now >= rest.until)) return Effect.void
        return rest.isTried
          ? rest.over.await
          : Effect.raceFirst(Effect.sleep(Duration.millis(rest.until - now)), rest.over.await)
      }),

    // From where a call is taken for the trial to where its end is seen nothing interrupts: an interruption in between would
    // leave the hook tried, and resting, for ever.
    call: <A>(hook: string, call: Effect.Effect<A, HookError>) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(Clock.currentTimeMillis, (began): Effect.Effect<A, HookError | HookSuspendedError> => {
          const state = stateOf(hook)
          const trial = state.rest
          if (trial !== undefined) {
            if (began < trial.until || trial.isTried) return Effect.fail(new HookSuspendedError({ pluginId, hook }))
            trial.isTried = true
          }
          return Effect.onExit(restore(call), (exit) => ended(hook, state, trial, began, exit))
        }),
      ),
  }
}

/** Whether the plugin has answered; nobody knows when the caller gave up early. */
const isAnswered = (exit: Exit.Exit<unknown, HookError>, millis: number): boolean | undefined => {
  if (Exit.isSuccess(exit)) return true
  return Option.match(Cause.findErrorOption(exit.cause), {
    onNone: () => (millis >= Duration.toMillis(GIVEN_UP) ? false : undefined),
    onSome: ({ _tag }) => _tag !== "HookDeadlineError" && _tag !== "HookTransportError",
  })
}
