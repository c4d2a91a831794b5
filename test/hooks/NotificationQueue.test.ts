/** What waits for a plugin that begins calls in their order, and so is told of several events at once. */
import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Metric, Option, Scope, Tracer } from "effect"
import { TestClock } from "effect/testing"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { BREAKER_FAILURES } from "../../src/hooks/CircuitBreaker.ts"
import { HookDeadlineError, type HookError, HookTransportError } from "../../src/hooks/HookError.ts"
import { type HookClient, testClient } from "../../src/hooks/Hooks.ts"
import * as NotificationQueue from "../../src/hooks/NotificationQueue.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { recordLog } from "../support/log.ts"

const hook = "messageHasBeenPosted"
const LIMITS = { count: 100, bytes: 1024 * 1024, inFlight: 8 }
/** Fewer than the failures that open the circuit. */
const FEW = { ...LIMITS, inFlight: 3 }

const event = (message: string) =>
  NotificationQueue.event(MattermostContract, hook, { post: create(PostSchema, { message }) }, undefined)

/** How many events are counted as lost. */
const lost = Effect.map(Metric.snapshot, (metrics) => {
  const counted = metrics.find(({ id }) => id === "plugin_hook_notifications_lost")
  return counted === undefined ? 0 : (counted.state as { count: number }).count
})

/** Lets what runs in the background run. */
const settle = Effect.repeat(Effect.yieldNow, { times: 50 })

const unreached = new HookTransportError({ pluginId: "p", hook: "H", status: "UNAVAILABLE", details: "gone" })
const late = new HookDeadlineError({ pluginId: "p", hook: "H", deadlineMillis: 1 })

/** A run of a plugin that writes down what it hears, and answers when a test says so. */
class Run {
  /** In the order in which they began. */
  readonly heard: Array<string> = []
  readonly client: HookClient
  readonly #answers = new Map<string, Deferred.Deferred<object, HookError>>()

  constructor(keepsOrder: boolean) {
    const hear = (message: string) =>
      Effect.suspend(() => {
        this.heard.push(message)
        return Deferred.await(this.#answer(message))
      })
    const client = testClient(MattermostContract, undefined as never, "p", {
      [hook]: ({ post }: { readonly post: { readonly message: string } }) => hear(post.message),
      onConfigurationChange: () => hear("settings"),
    })
    this.client = { ...client, keepsOrder }
  }

  #answer(message: string) {
    const known = this.#answers.get(message) ?? Deferred.makeUnsafe<object, HookError>()
    this.#answers.set(message, known)
    return known
  }

  /** Answers so many events, which may be still to come. */
  answer(messages: ReadonlyArray<string>, error?: HookError) {
    const end = error === undefined ? Exit.succeed({}) : Exit.fail(error)
    return Effect.andThen(
      Effect.forEach(messages, (message) => Deferred.done(this.#answer(message), end), { discard: true }),
      settle,
    )
  }
}

const names = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => String(from + index))

/** A queue with so many events, and the run that is told of them. */
const told = Effect.fnUntraced(function* (events: number, { keepsOrder = true, limits = LIMITS } = {}) {
  const scope = yield* Scope.make()
  const queue = yield* Scope.provide(NotificationQueue.make("p", limits), scope)
  const run = new Run(keepsOrder)
  yield* queue.turnTo(run.client)
  const offer = (messages: ReadonlyArray<string>) =>
    Effect.andThen(
      Effect.forEach(messages, (message) => queue.offer(event(message)), { discard: true }),
      settle,
    )
  yield* offer(names(1, events))
  return { queue, run, offer, close: Scope.close(scope, Exit.void) }
})

describe("a plugin that begins calls in their order", () => {
  it.effect("is told of as many events at once as may be in flight, in their order", () =>
    Effect.gen(function* () {
      const { run } = yield* told(20)
      assert.deepStrictEqual(run.heard, names(1, 8))
      yield* run.answer(["3", "5"])
      assert.deepStrictEqual(run.heard, names(1, 10), "whichever is answered makes room")
      yield* run.answer(names(1, 20))
      assert.deepStrictEqual(run.heard, names(1, 20))
    }),
  )

  it.effect("is told of one at a time where no more is allowed, as any other plugin is", () =>
    Effect.gen(function* () {
      for (const how of [
        { limits: { ...LIMITS, inFlight: 1 } },
        { limits: { ...LIMITS, inFlight: 0 } },
        { keepsOrder: false },
      ]) {
        const { run } = yield* told(3, how)
        assert.deepStrictEqual(run.heard, ["1"])
        yield* run.answer(["1", "2"])
        assert.deepStrictEqual(run.heard, ["1", "2", "3"])
      }
    }),
  )

  it.effect("is left alone while the circuit is open, tried with one event, and told of the others then", () =>
    Effect.gen(function* () {
      const { run } = yield* told(20)
      yield* run.answer(names(1, 2))
      yield* run.answer(names(3, 2 + BREAKER_FAILURES), late)
      assert.deepStrictEqual(run.heard, names(1, 14), "the last failure opens the circuit")
      yield* run.answer(names(8, 14), late)
      assert.lengthOf(run.heard, 14)
      yield* TestClock.adjust("31 seconds")
      yield* settle
      assert.deepStrictEqual(run.heard, names(1, 15), "half-open, it lets one through")
      yield* run.answer(names(15, 20))
      assert.deepStrictEqual(run.heard, names(1, 20))
    }),
  )

  it.effect("hears of what waits when another run has taken the place of one that was lost", () =>
    Effect.gen(function* () {
      const log = recordLog()
      yield* Effect.gen(function* () {
        const { queue, run } = yield* told(20, { limits: FEW })
        yield* run.answer(names(1, 3), unreached)
        assert.deepStrictEqual(run.heard, names(1, 3))
        const errors = log.entries.filter(({ level }) => level === "Error")
        assert.deepStrictEqual(
          errors.map(({ message }) => message),
          [`${unreached.message}; 2 more events were on their way`],
          "said once",
        )
        yield* queue.turnTo(undefined)
        const next = new Run(true)
        yield* queue.turnTo(next.client)
        yield* settle
        assert.deepStrictEqual(next.heard, ["4"], "the first by itself")
        yield* next.answer(["4"])
        assert.deepStrictEqual(next.heard, names(4, 7), "then as many as may be")
        yield* next.answer(names(5, 20))
        assert.deepStrictEqual(next.heard, names(4, 20))
      }).pipe(Effect.provide(log.layer))
    }),
  )

  it.effect("is told of one at a time while none reaches it, since those may be lost", () =>
    Effect.gen(function* () {
      const lostBefore = yield* lost
      const { run } = yield* told(20, { limits: FEW })
      yield* run.answer(names(1, 3), unreached)
      assert.deepStrictEqual(run.heard, names(1, 3))
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.deepStrictEqual(run.heard, names(1, 4))
      yield* run.answer(["4"], unreached)
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.deepStrictEqual(run.heard, names(1, 5))
      assert.strictEqual((yield* lost) - lostBefore, 4)
      yield* run.answer(["5"])
      assert.deepStrictEqual(run.heard, names(1, 8), "what has reached it opens the way")
      assert.strictEqual((yield* lost) - lostBefore, 4)
    }),
  )

  it.effect("has answered all that it was told of before its next run hears of anything", () =>
    Effect.gen(function* () {
      const { queue, run } = yield* told(10)
      const next = new Run(true)
      yield* queue.turnTo(next.client)
      yield* run.answer(names(2, 8))
      assert.deepStrictEqual([run.heard, next.heard], [names(1, 8), []])
      yield* run.answer(["1"])
      assert.deepStrictEqual([run.heard, next.heard], [names(1, 8), ["9", "10"]])
    }),
  )

  it.effect("hears of its settings when it has answered all before that, and of nothing else meanwhile", () =>
    Effect.gen(function* () {
      const { offer, queue, run } = yield* told(3)
      yield* queue.offer(NotificationQueue.event(MattermostContract, "onConfigurationChange", {}, undefined))
      yield* offer(["4", "5"])
      yield* run.answer(["1", "2"])
      assert.deepStrictEqual(run.heard, names(1, 3))
      yield* run.answer(["3"])
      assert.deepStrictEqual(run.heard, [...names(1, 3), "settings"])
      yield* run.answer(["settings"])
      assert.deepStrictEqual(run.heard, [...names(1, 3), "settings", "4", "5"])
    }),
  )

  it.effect("is told of an event in the trace that it happened in, and in none where that was in none", () =>
    Effect.gen(function* () {
      const parents: Array<string | undefined> = []
      const client = testClient(MattermostContract, undefined as never, "p", {
        [hook]: () =>
          Effect.map(Effect.option(Effect.currentParentSpan), (span) => {
            parents.push(Option.getOrUndefined(span)?.spanId)
            return {}
          }),
      })
      const queue = yield* Effect.withSpan(NotificationQueue.make("p", LIMITS), "the plugin's start")
      yield* queue.turnTo(client)
      yield* queue.offer(event("in none"))
      const span = Tracer.externalSpan({ spanId: "2".repeat(16), traceId: "1".repeat(32) })
      const request = { post: create(PostSchema, { message: "in one" }) }
      yield* queue.offer(NotificationQueue.event(MattermostContract, hook, request, span))
      yield* settle
      assert.deepStrictEqual(parents, [undefined, span.spanId])
    }).pipe(Effect.scoped),
  )

  it.effect("has answered all that it was told of when it is drained; what is left is lost, and that is said", () =>
    Effect.gen(function* () {
      const log = recordLog()
      const { close, offer, queue, run } = yield* told(10)
      const draining = yield* Effect.forkChild(queue.drain, { startImmediately: true })
      yield* Effect.provide(offer(["too late"]), log.layer)
      yield* run.answer(names(1, 9))
      assert.isUndefined(draining.pollUnsafe())
      yield* run.answer(["10"])
      assert.isDefined(draining.pollUnsafe())
      assert.deepStrictEqual(run.heard, names(1, 10))
      yield* Fiber.join(draining)
      yield* Effect.provide(close, log.layer)
      assert.deepStrictEqual(log.messages(), [])

      const other = yield* told(10)
      yield* Effect.provide(other.close, log.layer)
      assert.deepStrictEqual(log.messages(), ["plugin p: 10 events are lost, since it has ended"])
    }),
  )
})
