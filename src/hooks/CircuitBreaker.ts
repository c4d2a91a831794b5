import { Clock, Duration, Effect } from "effect"
import { HookSuspendedError, type HookError } from "./HookError.ts"

/** Failures to answer in a row after which a plugin is not asked any more: not a hiccup, and bearable for whoever waits. */
export const BREAKER_FAILURES = 5

/** How long it is not asked then. One call tries it again; if that fails too, it rests as long again. */
export const BREAKER_PAUSE: Duration.Duration = Duration.seconds(30)

/** Stops calling one plugin that keeps not answering, so that it does not hold up everybody who would ask it. */
export interface CircuitBreaker {
  readonly call: <A>(
    hook: string,
    call: Effect.Effect<A, HookError>,
  ) => Effect.Effect<A, HookError | HookSuspendedError>
  /** Waits until the plugin may be tried again; somebody else may be who tries it. */
  readonly rested: Effect.Effect<void>
}

/** Makes the breaker of one plugin. What the plugin answers, be it an error of its own, counts as an answer. */
export const make = (pluginId: string): CircuitBreaker => {
  let failures = 0
  let restsUntil = 0
  const failed = Effect.fnUntraced(function* (error: HookError) {
    if (error._tag !== "HookDeadlineError" && error._tag !== "HookTransportError") {
      failures = 0
      return
    }
    failures++
    if (failures < BREAKER_FAILURES) return
    restsUntil = (yield* Clock.currentTimeMillis) + Duration.toMillis(BREAKER_PAUSE)
    yield* Effect.logError(
      `plugin ${pluginId} did not answer ${failures} times in a row; it is not asked for ${Duration.format(BREAKER_PAUSE)}`,
    )
  })
  return {
    rested: Effect.flatMap(Clock.currentTimeMillis, (now) =>
      failures < BREAKER_FAILURES || now >= restsUntil ? Effect.void : Effect.sleep(Duration.millis(restsUntil - now)),
    ),

    call: Effect.fnUntraced(function* (hook, call) {
      if (failures >= BREAKER_FAILURES) {
        const now = yield* Clock.currentTimeMillis
        if (now < restsUntil) return yield* new HookSuspendedError({ pluginId, hook })
        // This call is the one that tries; others wait for what becomes of it, at most as long again.
        restsUntil = now + Duration.toMillis(BREAKER_PAUSE)
      }
      const answer = yield* Effect.tapError(call, failed)
      failures = 0
      return answer
    }),
  }
}
