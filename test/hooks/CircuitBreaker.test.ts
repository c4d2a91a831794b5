/** What no caller may do to the others: leave while it tries a hook that rests. */
import { describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { BREAKER_FAILURES } from "../../src/hooks/CircuitBreaker.ts"
import { HookDeadlineError } from "../../src/hooks/HookError.ts"
import { HOOK_POLICY } from "../../src/hooks/HookPolicy.ts"
import * as PluginCalls from "../../src/hooks/PluginCalls.ts"

const late = Effect.fail(new HookDeadlineError({ pluginId: "p", hook: "H", deadlineMillis: 1 }))

const make = () =>
  PluginCalls.make(
    "p",
    () => ({ ...HOOK_POLICY, mustAgree: false }),
    (hook) => hook,
  )

describe("CircuitBreaker", () => {
  it.effect("lets a hook be tried again, whenever the caller that tries it is interrupted", () =>
    Effect.gen(function* () {
      const calls = make()
      yield* Effect.repeat(Effect.ignore(calls.run("H", () => late)), { times: BREAKER_FAILURES })
      yield* TestClock.adjust("31 seconds")
      // After each number of steps of the caller's; most are within the trial, some before and after it.
      for (let steps = 0; steps < 30; steps++) {
        const trying = yield* Effect.forkChild(
          Effect.andThen(
            Effect.forEach(Array.from({ length: 3 }), () => Effect.yieldNow),
            calls.run("H", () => Effect.never),
          ),
        )
        yield* Effect.repeat(Effect.yieldNow, { times: steps })
        yield* Fiber.interrupt(trying)
      }
      yield* calls.run("H", () => Effect.void)
    }),
  )

  it.effect("lets a hook be tried again when its caller was interrupted already", () =>
    Effect.gen(function* () {
      const calls = make()
      yield* Effect.repeat(Effect.ignore(calls.run("H", () => late)), { times: BREAKER_FAILURES })
      yield* TestClock.adjust("31 seconds")
      const trying = yield* Effect.forkChild(
        Effect.uninterruptibleMask((restore) =>
          Effect.andThen(
            Effect.withFiber((fiber) => Effect.sync(() => fiber.interruptUnsafe())),
            restore(calls.run("H", () => Effect.never)),
          ),
        ),
      )
      yield* Fiber.await(trying)
      yield* calls.run("H", () => Effect.void)
    }),
  )
})
