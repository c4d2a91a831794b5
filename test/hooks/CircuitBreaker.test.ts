/** What no caller may do to the others: leave while it tries a hook that rests. */
import { describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { BREAKER_FAILURES, make } from "../../src/hooks/CircuitBreaker.ts"
import { HookDeadlineError } from "../../src/hooks/HookError.ts"

const late = Effect.fail(new HookDeadlineError({ pluginId: "p", hook: "H", deadlineMillis: 1 }))

describe("CircuitBreaker", () => {
  it.effect("lets a hook be tried again, whenever the caller that tries it is interrupted", () =>
    Effect.gen(function* () {
      const breaker = make("p")
      yield* Effect.repeat(Effect.ignore(breaker.call("H", late)), { times: BREAKER_FAILURES })
      yield* TestClock.adjust("31 seconds")
      // After each number of steps of the caller's; most are within the trial, some before and after it.
      for (let steps = 0; steps < 30; steps++) {
        const trying = yield* Effect.forkChild(
          Effect.andThen(
            Effect.forEach(Array.from({ length: 3 }), () => Effect.yieldNow),
            breaker.call("H", Effect.never),
          ),
        )
        yield* Effect.repeat(Effect.yieldNow, { times: steps })
        yield* Fiber.interrupt(trying)
      }
      yield* breaker.call("H", Effect.void)
    }),
  )

  it.effect("lets a hook be tried again when its caller was interrupted already", () =>
    Effect.gen(function* () {
      const breaker = make("p")
      yield* Effect.repeat(Effect.ignore(breaker.call("H", late)), { times: BREAKER_FAILURES })
      yield* TestClock.adjust("31 seconds")
      const trying = yield* Effect.forkChild(
        Effect.uninterruptibleMask((restore) =>
          Effect.andThen(
            Effect.withFiber((fiber) => Effect.sync(() => fiber.interruptUnsafe())),
            restore(breaker.call("H", Effect.never)),
          ),
        ),
      )
      yield* Fiber.await(trying)
      yield* breaker.call("H", Effect.void)
    }),
  )
})
