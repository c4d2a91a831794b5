/** When a plugin counts as dead although its process lives. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { monitor, type Observation, observe } from "../../src/supervisor/HealthMonitor.ts"
import { recordLog } from "../support/log.ts"

const late = { message: "late" }

/** A plugin that never answers, and does what a test says. */
const silent = () => {
  const seen = { answers: 0, cpuMillis: 0, isTraced: false, pings: 0, isWell: false, observed: true, isLate: false }
  const fiber = monitor(
    {
      pluginId: "p",
      ping: Effect.suspend(() => {
        seen.pings++
        // What can't be interrupted is over late, as all is of a host that has slept.
        if (seen.isLate) return Effect.uninterruptible(Effect.andThen(Effect.sleep("1 hour"), Effect.fail(late)))
        return seen.isWell ? Effect.void : Effect.never
      }),
      answers: () => seen.answers,
      observe: (): Observation | undefined =>
        seen.observed ? { cpuMillis: seen.cpuMillis, isTraced: seen.isTraced } : undefined,
    },
    { interval: "10 seconds", deadline: "5 seconds", misses: 3 },
  )
  return { seen, fiber: Effect.forkChild(fiber) }
}

/** An interval, and a deadline that passes. */
const round = Effect.andThen(TestClock.adjust("10 seconds"), TestClock.adjust("5 seconds"))
const rounds = (times: number, change: () => void = () => {}) =>
  Effect.forEach(Array(times).keys(), () => Effect.andThen(Effect.sync(change), round), { discard: true })

describe("HealthMonitor", () => {
  it.effect("ends a plugin that misses several pings in a row and does nothing, and says so", () =>
    Effect.gen(function* () {
      const { fiber, seen } = silent()
      const watching = yield* fiber
      yield* rounds(2)
      assert.isUndefined(watching.pollUnsafe())
      yield* rounds(1)
      const end = yield* Fiber.join(watching)
      assert.strictEqual(seen.pings, 3)
      assert.deepInclude(end, { _tag: "Unresponsive" })
      assert.match((end as { reason: string }).reason, /has not answered 3 health checks in a row.*for 35s/)
    }),
  )

  it.effect("counts from the last answer", () =>
    Effect.gen(function* () {
      const { fiber, seen } = silent()
      const watching = yield* fiber
      for (let times = 0; times < 5; times++) {
        seen.isWell = false
        yield* rounds(2)
        seen.isWell = true
        // It answers, and the next interval has begun.
        yield* TestClock.adjust("10 seconds")
        yield* TestClock.adjust("0 seconds")
      }
      assert.isUndefined(watching.pollUnsafe())
    }),
  )

  const alive: { readonly [name: string]: (seen: ReturnType<typeof silent>["seen"]) => void } = {
    computes: (seen) => void (seen.cpuMillis += 5000),
    "gets little time to compute, on a crowded machine": (seen) => void (seen.cpuMillis += 300),
    "answers calls": (seen) => void seen.answers++,
    "is held by a debugger": (seen) => void (seen.isTraced = true),
  }
  for (const [name, change] of Object.entries(alive)) {
    it.effect(`lets be one that ${name}, and ends it when it does no more`, () => {
      const log = recordLog()
      return Effect.gen(function* () {
        const { fiber, seen } = silent()
        const watching = yield* Effect.provide(fiber, log.layer)
        yield* rounds(30, () => change(seen))
        assert.isUndefined(watching.pollUnsafe())
        assert.strictEqual(
          log.messages().some((message) => message.includes("but is at work, and is let be")),
          !seen.isTraced,
        )
        seen.isTraced = false
        yield* rounds(3)
        assert.strictEqual((yield* Fiber.join(watching))._tag, "Unresponsive")
      })
    })
  }

  it.effect("does not count what it did before it was asked", () =>
    Effect.gen(function* () {
      const { fiber, seen } = silent()
      const watching = yield* fiber
      // Between the last ping that it answered and the first that it did not.
      yield* TestClock.adjust("9 seconds")
      seen.answers++
      seen.cpuMillis += 5000
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("5 seconds")
      yield* rounds(2)
      assert.strictEqual((yield* Fiber.join(watching))._tag, "Unresponsive")
    }),
  )

  it.effect("does not take what it costs to fail for work", () =>
    Effect.gen(function* () {
      const { fiber, seen } = silent()
      const watching = yield* fiber
      yield* rounds(3, () => void (seen.cpuMillis += 10))
      assert.strictEqual((yield* Fiber.join(watching))._tag, "Unresponsive")
    }),
  )

  it.effect("does not count rounds in which the host itself was late", () =>
    Effect.gen(function* () {
      const { fiber, seen } = silent()
      seen.isLate = true
      const watching = yield* fiber
      for (let times = 1; times <= 10; times++) yield* TestClock.adjust("61 minutes")
      assert.isAtLeast(seen.pings, 9)
      assert.isUndefined(watching.pollUnsafe())
      const ending = yield* Effect.forkChild(Fiber.interrupt(watching))
      yield* TestClock.adjust("2 hours")
      yield* Fiber.join(ending)
    }),
  )

  it.effect("goes by pings and answers where the system tells nothing of processes", () =>
    Effect.gen(function* () {
      const { fiber, seen } = silent()
      seen.observed = false
      const watching = yield* fiber
      yield* rounds(3)
      assert.strictEqual((yield* Fiber.join(watching))._tag, "Unresponsive")
    }),
  )

  it.skipIf(process.platform !== "linux")("sees what a process computes, and that nobody holds it", () => {
    const look = observe(process.pid)
    const before = look()!
    const until = process.cpuUsage().user + 100_000
    while (process.cpuUsage().user < until);
    const now = look()!
    assert.isAtLeast(now.cpuMillis - before.cpuMillis, 50)
    assert.isFalse(now.isTraced)
    // Above the highest id that Linux gives.
    assert.isUndefined(observe(2 ** 22 + 1)())
  })
})
