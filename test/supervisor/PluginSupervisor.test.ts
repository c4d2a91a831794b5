/** One plugin's actor, on runs that the test ends: no two commands interleave, and every one comes to an end. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Metric, Option, Scope, SubscriptionRef } from "effect"
import type { PluginRun, PluginStartError, RunEnd } from "../../src/supervisor/PluginRun.ts"
import * as PluginHost from "../../src/environment/PluginHost.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { PluginRuns } from "../../src/supervisor/PluginRuns.ts"
import type { PluginBundle } from "../../src/bundle/PluginBundle.ts"
import { HandshakeError } from "../../src/goplugin/Handshake.ts"
import type { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import type { SupervisorOptions } from "../../src/supervisor/SupervisorOptions.ts"
import { TestClock } from "effect/testing"
import { recordLog } from "../support/log.ts"

const bundle = { directory: "/nowhere", manifest: { id: "p-1", name: "P" } }
const upgrade = { directory: "/elsewhere", manifest: { id: "p-1", name: "P", version: "2.0.0" } }
const exclusive = { directory: "/alone", manifest: { id: "p-1", name: "P", server: { exclusive: true } } }

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
    Effect.fnUntraced(function* (_host, of) {
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
        bundle: of,
        generation,
        process: { stderrTail: Effect.sync(() => [`last words of ${generation}`]) },
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

const supervisedWith = (options: SupervisorOptions<MattermostContract>, of: PluginBundle = bundle) =>
  Effect.flatMap(MattermostPlugins.Supervisor, ({ supervise }) => supervise(of, options))
const supervised = supervisedWith({})
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

  test("begins no start that a stop has overtaken while it waited for what is left", ({ events, gates, runs }) =>
    Effect.gen(function* () {
      const { start, state, stop } = yield* supervised
      const gate = yield* Deferred.make<void>()
      yield* start
      gates.stop = Deferred.await(gate)
      yield* Effect.forkChild(runs[0]!.end({ _tag: "Disconnected" }))
      yield* settle
      const starting = yield* Effect.forkChild(Effect.flip(start))
      yield* settle
      const stopping = yield* Effect.forkChild(stop)
      yield* settle
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(starting))._tag, "PluginStoppedError")
      yield* Fiber.join(stopping)
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "NotRunning")
      assert.deepStrictEqual(events, ["start 1", "active 1", "end 1"])
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

  const crash: RunEnd = { _tag: "Exited", exit: { code: 1, signal: null } }
  const notStarted = (kind: HandshakeError["kind"]) =>
    Effect.fail(
      new HandshakeError({ pluginId: "p-1", kind, detail: "no", exit: "exit code 2", stderr: ["why"], diagnosis: [] }),
    )
  /** Longer than any wait that is set here, with its jitter. */
  const wait = (seconds: number) => Effect.andThen(TestClock.adjust(`${seconds * 1.3} seconds`), settle)
  const brief = { delay: "1 second", budget: 2, stableAfter: "1 minute", retryEvery: "10 minutes" } as const

  test("starts a plugin again that ends, tells why and when, and slowly when it ends too often", ({ events, runs }) =>
    Effect.gen(function* () {
      const { run, start, state } = yield* supervisedWith({ restart: brief })
      const current = () => SubscriptionRef.getUnsafe(state)
      yield* start
      yield* runs[0]!.end({ _tag: "Exited", exit: { code: 137, signal: null } })
      yield* settle
      const error =
        "plugin p-1 ended unexpectedly (exit code 137); it was killed, by the kernel for the memory that it took, or by kill -9"
      assert.deepStrictEqual(
        { ...current(), nextTry: 0 },
        {
          name: "Restarting",
          since: 0,
          error,
          nextTry: 0,
          restarts: 0,
          lastFailure: { at: 0, reason: error, exit: "exit code 137", stderr: ["last words of 1"] },
        },
      )
      assert.isAtLeast(current().nextTry!, 800)
      assert.isAtMost(current().nextTry!, 1200)
      assert.isTrue(Option.isNone(yield* run))
      yield* wait(1)
      assert.strictEqual(Option.getOrThrow(yield* run).generation, 2)
      const { lastFailure, ...running } = current()
      assert.deepStrictEqual({ ...running, since: 0 }, { name: "Running", since: 0, restarts: 1 })
      assert.strictEqual(lastFailure?.exit, "exit code 137")

      yield* runs[1]!.end(crash)
      yield* wait(2)
      assert.deepInclude(current(), { name: "Running", restarts: 2 })
      const counted = (yield* Metric.snapshot).find(({ id }) => id === "plugin_restarts")
      assert.deepInclude(counted?.attributes, { plugin: "p-1" })
      yield* runs[2]!.end(crash)
      yield* settle
      assert.strictEqual(current().name, "FailedToStayRunning")
      assert.isAtLeast(current().nextTry! - current().since, 480_000)
      assert.deepInclude(current().lastFailure!, { exit: "exit code 1", stderr: ["last words of 3"] })
      yield* wait(100)
      assert.notInclude(events, "start 4")
      const due = Effect.suspend(() => Effect.andThen(TestClock.setTime(current().nextTry!), settle))
      yield* due
      assert.deepInclude(current(), { name: "Running", restarts: 3 })
      // It is still the same budget, until it was stable.
      yield* runs[3]!.end(crash)
      yield* settle
      assert.strictEqual(current().name, "FailedToStayRunning")
      yield* due
      yield* TestClock.adjust("1 minute")
      yield* runs[4]!.end(crash)
      yield* settle
      assert.strictEqual(current().name, "Restarting")
    }))

  test("tries a start again that may pass, and no other", ({ events, gates }) =>
    Effect.gen(function* () {
      const { start, state } = yield* supervisedWith({ restart: brief })
      const current = () => SubscriptionRef.getUnsafe(state)
      gates.start = notStarted("timeout")
      assert.strictEqual((yield* Effect.flip(start))._tag, "HandshakeError")
      assert.deepInclude(current(), { name: "FailedToStart", restarts: 0 })
      assert.deepInclude(current().lastFailure!, { exit: "exit code 2", stderr: ["why"] })
      assert.isAbove(current().nextTry!, 0)
      yield* wait(1)
      assert.deepInclude(current(), { name: "FailedToStart", restarts: 1 })
      gates.start = Effect.void
      yield* wait(2)
      assert.deepInclude(current(), { name: "Running", restarts: 2 })

      const another = yield* supervisedWith({ restart: brief })
      gates.start = notStarted("protocolVersion")
      yield* Effect.flip(another.start)
      assert.strictEqual(SubscriptionRef.getUnsafe(another.state).name, "FailedToStart")
      assert.isUndefined(SubscriptionRef.getUnsafe(another.state).nextTry)
      yield* wait(10_000)
      assert.notInclude(events, "start 5")
    }))

  test("counts as failed when a restart can't work", ({ gates, runs }) =>
    Effect.gen(function* () {
      const { start, state } = yield* supervisedWith({ restart: brief })
      yield* start
      gates.start = notStarted("protocol")
      yield* runs[0]!.end(crash)
      yield* wait(1)
      const { name, nextTry } = SubscriptionRef.getUnsafe(state)
      assert.strictEqual(name, "FailedToStayRunning")
      assert.isUndefined(nextTry)
    }))

  test("is started at once by an operator's start, with all of its budget", ({ gates, runs }) =>
    Effect.gen(function* () {
      const { start, state } = yield* supervisedWith({ restart: { ...brief, budget: 1, retryEvery: false } })
      yield* start
      yield* runs[0]!.end(crash)
      yield* settle
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "Restarting")
      assert.strictEqual((yield* start).generation, 2)
      assert.deepStrictEqual({ ...SubscriptionRef.getUnsafe(state) }, { name: "Running", since: 0, restarts: 0 })
      yield* runs[1]!.end(crash)
      yield* settle
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "Restarting", "the one before does not count")
      yield* wait(1)
      yield* runs[2]!.end(crash)
      yield* settle
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "FailedToStayRunning")
      assert.isUndefined(SubscriptionRef.getUnsafe(state).nextTry)
      gates.start = Effect.void
      yield* start
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "Running")
    }))

  test("is not started again by itself once it was stopped", ({ events, gates, runs }) =>
    Effect.gen(function* () {
      const { start, state, stop } = yield* supervisedWith({ restart: brief })
      yield* start
      yield* runs[0]!.end(crash)
      yield* settle
      // Nothing is waited for: the clock stands still.
      yield* stop
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "NotRunning")
      yield* wait(10_000)
      // In the middle of a restart.
      yield* start
      gates.start = Effect.never
      yield* runs[1]!.end(crash)
      yield* wait(1)
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "Starting")
      yield* stop
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "NotRunning")
      yield* wait(10_000)
      assert.deepStrictEqual(events.slice(-2), ["start 3", "cut off 3"])
      // A failure is not hidden, but nobody tries again.
      gates.start = notStarted("timeout")
      yield* Effect.flip(start)
      yield* stop
      assert.isUndefined(SubscriptionRef.getUnsafe(state).nextTry)
      yield* wait(10_000)
      assert.strictEqual(events.at(-1), "start 4")
    }))

  test("ends at once when its Scope closes while it waits for its next try", ({ events, runs }) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      yield* Effect.flatMap(Scope.provide(supervisedWith({ restart: brief }), scope), ({ start }) => start)
      yield* runs[0]!.end(crash)
      yield* settle
      yield* Scope.close(scope, Exit.void)
      yield* wait(10_000)
      assert.deepStrictEqual(events, ["start 1", "active 1", "end 1"])
    }))

  test("reloads beside the run there is, which goes when the new one is active", ({ events, gates }) =>
    Effect.gen(function* () {
      const plugin = yield* supervised
      const { reload, replace, run, start, state } = plugin
      yield* start
      const gate = yield* Deferred.make<void>()
      gates.start = Deferred.await(gate)
      const reloading = yield* Effect.forkChild(reload)
      yield* settle
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "Running")
      assert.strictEqual(Option.getOrThrow(yield* run).generation, 1)
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(reloading)).generation, 2)
      assert.deepStrictEqual(events, ["start 1", "active 1", "start 2", "active 2", "end 1"])
      assert.strictEqual(Option.getOrThrow(yield* run).generation, 2)
      assert.strictEqual(plugin.bundle, bundle)
      assert.strictEqual((yield* replace(upgrade)).bundle, upgrade)
      assert.strictEqual(plugin.bundle, upgrade)
      assert.deepStrictEqual(events.slice(5), ["start 3", "active 3", "end 2"])
      assert.deepInclude(SubscriptionRef.getUnsafe(state), { name: "Running", restarts: 0 })
    }))

  test("goes on with the run there is when the new one does not start", ({ events, gates }) =>
    Effect.gen(function* () {
      const log = recordLog()
      const plugin = yield* supervisedWith({ restart: brief })
      yield* plugin.start
      gates.start = notStarted("exited")
      const error = yield* Effect.flip(Effect.provide(plugin.replace(upgrade), log.layer))
      assert.strictEqual(error._tag, "HandshakeError")
      const message = `plugin p-1 goes on as it is, since what was to take its place did not start: ${error.message}`
      assert.include(log.messages(), message)
      assert.strictEqual(SubscriptionRef.getUnsafe(plugin.state).name, "Running")
      assert.strictEqual(Option.getOrThrow(yield* plugin.run).generation, 1)
      assert.strictEqual(plugin.bundle, bundle)
      yield* wait(10_000)
      assert.deepStrictEqual(events, ["start 1", "active 1", "start 2"])
    }))

  test("has one run in the end when the one before ends while it is reloaded", ({ events, gates, runs }) =>
    Effect.gen(function* () {
      const { reload, run, start, state } = yield* supervisedWith({ restart: brief })
      yield* start
      const gate = yield* Deferred.make<void>()
      gates.start = Deferred.await(gate)
      const reloading = yield* Effect.forkChild(reload)
      yield* settle
      yield* runs[0]!.end(crash)
      yield* settle
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "Starting")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(reloading)
      yield* wait(10_000)
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "Running")
      assert.strictEqual(Option.getOrThrow(yield* run).generation, 2)
      assert.deepStrictEqual(events, ["start 1", "active 1", "start 2", "end 1", "active 2"])
      // The same where the new one fails: it restarts.
      gates.start = notStarted("exited")
      const failing = yield* Deferred.make<void>()
      gates.start = Effect.andThen(Deferred.await(failing), notStarted("exited"))
      const failed = yield* Effect.forkChild(Effect.flip(reload))
      yield* settle
      yield* runs[1]!.end(crash)
      yield* settle
      yield* Deferred.succeed(failing, undefined)
      yield* Fiber.join(failed)
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "Restarting")
      gates.start = Effect.void
      yield* wait(1)
      assert.strictEqual(Option.getOrThrow(yield* run).generation, 4)
    }))

  test("is stopped by a stop while it is reloaded, at whatever moment", ({ events, gates }) =>
    Effect.gen(function* () {
      for (const of of [bundle, exclusive]) {
        const { reload, start, state, stop } = yield* supervisedWith({ restart: brief }, of)
        for (let steps = 0; steps < 30; steps++) {
          gates.start = Effect.void
          yield* start
          gates.start = Effect.never
          const reloading = yield* Effect.forkChild(Effect.exit(reload))
          yield* Effect.repeat(Effect.yieldNow, { times: steps })
          yield* stop
          yield* settle
          // It was given after the stop, and is carried out after it.
          if (reloading.pollUnsafe() === undefined) yield* stop
          yield* Fiber.join(reloading)
          assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "NotRunning")
        }
      }
      yield* wait(10_000)
      const count = (what: string) => events.filter((event) => event.startsWith(what)).length
      assert.strictEqual(count("start"), count("cut off") + count("end"))
    }))

  test("stops a plugin that must not run twice before it starts it, and goes back where it has to", ({
    events,
    gates,
  }) =>
    Effect.gen(function* () {
      const plugin = yield* supervisedWith({}, exclusive)
      const { reload, replace, run, start, state } = plugin
      yield* start
      const gate = yield* Deferred.make<void>()
      gates.start = Deferred.await(gate)
      const reloading = yield* Effect.forkChild(reload)
      yield* settle
      assert.deepInclude(SubscriptionRef.getUnsafe(state), { name: "Starting", isReloading: true })
      assert.isTrue(Option.isNone(yield* run))
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(reloading)
      assert.deepStrictEqual(events, ["start 1", "active 1", "end 1", "start 2", "active 2"])
      assert.isUndefined(SubscriptionRef.getUnsafe(state).isReloading)
      // What replaces it does not start: it is what it was.
      let times = 0
      gates.start = Effect.suspend(() => (times++ === 0 ? notStarted("protocol") : Effect.void))
      assert.strictEqual((yield* Effect.flip(replace(upgrade)))._tag, "HandshakeError")
      assert.deepStrictEqual(events.slice(5), ["end 2", "start 3", "start 4", "active 4"])
      assert.strictEqual(plugin.bundle, exclusive)
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "Running")
      // There is nothing to go back to.
      gates.start = notStarted("protocol")
      yield* Effect.flip(reload)
      assert.deepInclude(SubscriptionRef.getUnsafe(state), { name: "FailedToStayRunning" })
    }))

  test("starts by a reload what does not run, and takes no bundle of another plugin", ({ events }) =>
    Effect.gen(function* () {
      const plugin = yield* supervised
      assert.strictEqual((yield* plugin.replace(upgrade)).bundle, upgrade)
      assert.deepStrictEqual(events, ["start 1", "active 1"])
      const other = { directory: "/x", manifest: { id: "other", name: "O" } }
      assert.isTrue(Exit.hasDies(yield* Effect.exit(plugin.replace(other))))
    }))
})
