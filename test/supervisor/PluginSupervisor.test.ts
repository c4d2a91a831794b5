/** One plugin's actor, on runs that the test ends: no two commands interleave, and every one comes to an end. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Scope, SubscriptionRef } from "effect"
import type { PluginRun, PluginStartError, RunEnd } from "../../src/supervisor/PluginRun.ts"
import * as PluginHost from "../../src/environment/PluginHost.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { PluginRuns } from "../../src/supervisor/PluginRuns.ts"
import { recordLog } from "../support/log.ts"

const bundle = { directory: "/nowhere", manifest: { id: "p-1", name: "P" } }

/** Lets what runs in the background run. */
const settle = Effect.repeat(Effect.yieldNow, { times: 50 })

/** Runs whose start and stop the test lets through; what happens is written down. */
const scripted = () => {
  const events: Array<string> = []
  let number = 0
  const gates = {
    start: Effect.void as Effect.Effect<void, PluginStartError>,
    stop: Effect.void,
  }
  const runs: Array<{ readonly end: (how: RunEnd) => Effect.Effect<unknown> }> = []
  const layer = PluginRuns.layerTest(
    Effect.fnUntraced(function* () {
      const generation = ++number
      events.push(`start ${generation}`)
      yield* Effect.onInterrupt(gates.start, () => Effect.sync(() => events.push(`cut off ${generation}`)))
      const ending = yield* Deferred.make<RunEnd>()
      const ended = yield* Deferred.make<RunEnd>()
      const end = Effect.fnUntraced(function* (how: RunEnd) {
        if (!(yield* Deferred.succeed(ending, how))) return yield* Effect.asVoid(Deferred.await(ended))
        yield* gates.stop
        events.push(`end ${generation}`)
        yield* Deferred.succeed(ended, how)
      })
      runs.push({ end })
      const stop = end({ _tag: "Stopped" })
      yield* Effect.addFinalizer(() => stop)
      events.push(`active ${generation}`)
      return {
        bundle,
        generation,
        stop,
        ending: Deferred.await(ending),
        ended: Deferred.await(ended),
      } as unknown as PluginRun
    }),
  )
  return {
    events,
    gates,
    runs,
    layer: PluginHost.supervisorOn(MattermostPlugins).pipe(
      Layer.provide([layer, MattermostPlugins.layer, MattermostPlugins.layerApi({})]),
    ),
  }
}

const supervised = Effect.flatMap(MattermostPlugins.Supervisor, ({ supervise }) => supervise(bundle))
const test = (
  name: string,
  run: (
    script: ReturnType<typeof scripted>,
  ) => Effect.Effect<unknown, unknown, PluginHost.Supervisor<MattermostPlugins> | Scope.Scope>,
) =>
  it.effect(name, () => {
    const script = scripted()
    return run(script).pipe(Effect.scoped, Effect.provide(script.layer))
  })

describe("PluginSupervisor", () => {
  test("starts and stops, and is no trouble when told twice", ({ events }) =>
    Effect.gen(function* () {
      const { run, start, state, stop } = yield* supervised
      yield* stop
      assert.isTrue(Option.isNone(yield* run))
      const first = yield* start
      assert.strictEqual(yield* start, first)
      assert.strictEqual(Option.getOrThrow(yield* run), first)
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "Running")
      yield* Effect.all([stop, stop, stop], { concurrency: "unbounded" })
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "NotRunning")
      yield* start
      assert.deepStrictEqual(events, ["start 1", "active 1", "end 1", "start 2", "active 2"])
    }))

  test("carries out commands one after the other", ({ events, gates }) =>
    Effect.gen(function* () {
      const { start, stop } = yield* supervised
      const gate = yield* Deferred.make<void>()
      yield* start
      gates.stop = Deferred.await(gate)
      const stopping = yield* Effect.forkChild(stop)
      yield* settle
      const starting = yield* Effect.forkChild(start)
      yield* settle
      assert.deepStrictEqual(events, ["start 1", "active 1"], "nothing begins before the stop is over")
      gates.stop = Effect.void
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(stopping)
      yield* Fiber.join(starting)
      assert.deepStrictEqual(events.slice(2), ["end 1", "start 2", "active 2"])
    }))

  test("ends a start by a stop, at whatever moment, and says so to whoever waits for it", ({ events, gates }) =>
    Effect.gen(function* () {
      const { start, state, stop } = yield* supervised
      gates.start = Effect.never
      for (let steps = 0; steps < 20; steps++) {
        const starting = yield* Effect.forkChild(Effect.flip(start))
        yield* Effect.repeat(Effect.yieldNow, { times: steps })
        yield* stop
        yield* settle
        // It was given after the stop, and is carried out after it.
        if (starting.pollUnsafe() === undefined) yield* stop
        assert.strictEqual((yield* Fiber.join(starting))._tag, "PluginStoppedError")
        assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "NotRunning")
      }
      const begun = events.filter((event) => event.startsWith("start")).length
      assert.strictEqual(events.filter((event) => event.startsWith("cut off")).length, begun)
      gates.start = Effect.void
      yield* start
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "Running")
    }))

  test("tells of a run that ends by itself at once, and leaves nothing of it when it is started again", ({
    events,
    gates,
    runs,
  }) =>
    Effect.gen(function* () {
      const log = recordLog()
      const { run, start, state, stop } = yield* supervised
      const gate = yield* Deferred.make<void>()
      yield* Effect.provide(start, log.layer)
      gates.stop = Deferred.await(gate)
      yield* Effect.forkChild(runs[0]!.end({ _tag: "Exited", exit: { code: 7, signal: null } }))
      yield* settle
      assert.deepInclude(SubscriptionRef.getUnsafe(state), {
        name: "FailedToStayRunning",
        error: "plugin p-1 ended unexpectedly (exit code 7)",
      })
      assert.include(log.messages(), "plugin p-1 ended unexpectedly (exit code 7)")
      assert.isTrue(Option.isNone(yield* run))
      const starting = yield* Effect.forkChild(start)
      yield* settle
      assert.notInclude(events, "start 2")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(starting)
      assert.deepStrictEqual(events.slice(2), ["end 1", "start 2", "active 2"])
      yield* stop
    }))

  test("tells a failure, a defect too, and keeps it", ({ gates }) =>
    Effect.gen(function* () {
      const log = recordLog()
      const { start, state, stop } = yield* supervised
      gates.start = Effect.die(new Error("a fault of the host's"))
      const exit = yield* Effect.exit(Effect.provide(start, log.layer))
      assert.isTrue(Exit.isFailure(exit))
      const { error = "", name } = SubscriptionRef.getUnsafe(state)
      assert.strictEqual(name, "FailedToStart")
      assert.include(error, "a fault of the host's own")
      assert.isTrue(log.entries.some(({ level, message }) => level === "Error" && message.includes("did not start")))
      yield* stop
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "FailedToStart", "a stop does not hide it")
    }))

  test("stops what runs, or starts, when its Scope closes", ({ events, gates }) =>
    Effect.gen(function* () {
      const scopes = [yield* Scope.make(), yield* Scope.make()] as const
      yield* Effect.flatMap(Scope.provide(supervised, scopes[0]), ({ start }) => start)
      yield* Scope.close(scopes[0], Exit.void)
      assert.deepStrictEqual(events, ["start 1", "active 1", "end 1"])
      gates.start = Effect.never
      const { start } = yield* Scope.provide(supervised, scopes[1])
      yield* Effect.forkChild(start)
      yield* settle
      yield* Scope.close(scopes[1], Exit.void)
      assert.deepStrictEqual(events.slice(3), ["start 2", "cut off 2"])
    }))

  test("goes on with a command when whoever gave it leaves", ({ gates }) =>
    Effect.gen(function* () {
      const { run, start } = yield* supervised
      const gate = yield* Deferred.make<void>()
      gates.start = Deferred.await(gate)
      const starting = yield* Effect.forkChild(start)
      yield* settle
      yield* Fiber.interrupt(starting)
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.isTrue(Option.isSome(yield* run))
    }))
})
