/** A Python plugin that crashes, is stopped or deadlocks is started again; one that is busy is let be. */
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, Scope, Stream, SubscriptionRef } from "effect"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import type { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import type { PluginState } from "../../src/supervisor/PluginLife.ts"
import type { SupervisorOptions } from "../../src/supervisor/SupervisorOptions.ts"
import { folder } from "../support/folder.ts"
import { eventually, fixture, host, isAlive, noPython } from "../support/host.ts"
import { recordLog } from "../support/log.ts"

const supervised = Effect.fnUntraced(function* (options: SupervisorOptions<MattermostContract>) {
  const record = join(yield* folder({}), "record")
  const bundle = yield* (yield* PluginBundles).load(fixture("reloaded"))
  const plugin = yield* (yield* MattermostPlugins.Supervisor).supervise(bundle, {
    ...options,
    waitDelay: "300 millis",
    shutdownLimit: "300 millis",
    deactivateLimit: "300 millis",
    variables: { RECORD: record },
  })
  const seen: Array<PluginState> = []
  yield* Effect.forkScoped(
    Stream.runForEach(SubscriptionRef.changes(plugin.state), (state) => Effect.sync(() => seen.push(state))),
  )
  /** Waits until it has been in a state, which may be over by then; answers that. */
  const until = (is: (state: PluginState) => boolean) =>
    Effect.map(
      eventually("its state", () => seen.some(is), 150_000),
      () => seen.find(is)!,
    )
  const command = (text: string) =>
    Effect.flatMap(plugin.run, (run) => Option.getOrThrow(run).hooks.executeCommand({ args: { command: text } }))
  return { ...plugin, until, command }
})

/** Quick enough for a test, and slow enough for a plugin that is well on a busy machine. */
const health = { interval: "300 millis", deadline: "1 second", misses: 3 } as const

describe.skipIf(noPython)("a Python plugin under supervision", () => {
  it.live("that crashes each time is started again a few times, and has failed then: why is told", () =>
    Effect.gen(function* () {
      const { command, start, state, until } = yield* supervised({
        restart: { delay: "10 millis", budget: 2, retryEvery: "1 hour", stableAfter: "1 hour" },
      })
      const pids = [(yield* start).process.pid]
      for (let restarts = 0; restarts <= 2; restarts++) {
        yield* until((state) => state.name === "Running" && state.restarts === restarts)
        yield* Effect.exit(command("die"))
        const expected = restarts < 2 ? "Restarting" : "FailedToStayRunning"
        const failed = yield* until((state) => state.name === expected && state.restarts === restarts)
        assert.include(failed.error, "ended unexpectedly (exit code 137); it was killed, by the kernel")
      }
      const { error, lastFailure, nextTry, restarts, since } = yield* until(
        ({ lastFailure, name }) => name === "FailedToStayRunning" && lastFailure!.stderr.includes("the last words"),
      )
      assert.deepInclude(lastFailure!, { exit: "exit code 137", reason: error! })
      assert.strictEqual(restarts, 2)
      assert.isAtLeast(nextTry! - since, 0.8 * 3_600_000)
      // An operator's start does not wait for that.
      pids.push((yield* start).process.pid)
      assert.deepInclude(SubscriptionRef.getUnsafe(state), { name: "Running", restarts: 0 })
      assert.deepStrictEqual(pids.map(isAlive), [false, true])
    }).pipe(Effect.scoped, Effect.provide(host())),
  )

  const hung: {
    readonly [name: string]: (plugin: Effect.Success<ReturnType<typeof supervised>>) => Effect.Effect<unknown, unknown>
  } = {
    "is stopped by a signal": ({ run }) =>
      Effect.map(run, (run) => process.kill(Option.getOrThrow(run).process.pid, "SIGSTOP")),
    "has a deadlocked event loop": ({ run }) =>
      Effect.flatMap(run, (run) =>
        Effect.forkDetach(Effect.exit(Option.getOrThrow(run).hooks.messageHasBeenDeleted({ post: {} }))),
      ),
    "is deadlocked": ({ command }) => Effect.forkDetach(Effect.exit(command("deadlock"))),
  }
  for (const [name, hang] of Object.entries(hung)) {
    it.live.skipIf(process.platform !== "linux")(`that ${name} is ended, and started again`, () =>
      Effect.gen(function* () {
        const plugin = yield* supervised({ health, restart: { delay: "10 millis" } })
        const { process: first } = yield* plugin.start
        yield* hang(plugin)
        const failed = yield* plugin.until(({ name }) => name === "Restarting")
        assert.match(failed.error ?? "", /has not answered 3 health checks.*stopped \(SIGSTOP\) or deadlocked/)
        yield* plugin.until((state) => state.name === "Running" && state.restarts > 0)
        assert.isFalse(isAlive(first.pid))
      }).pipe(Effect.scoped, Effect.provide(host())),
    )
  }

  it.live.skipIf(process.platform !== "linux")("that computes, and answers nobody, is let be", () => {
    const log = recordLog()
    return Effect.gen(function* () {
      const { command, run, start, state } = yield* supervised({ health, restart: { delay: "10 millis" } })
      const { process: first } = yield* start
      yield* Effect.forkScoped(Effect.exit(command("compute")))
      const times = () => log.messages().filter((line) => line.includes("is at work, and is let be")).length
      yield* eventually("it is seen to be at work twice", () => times() >= 2, 150_000)
      assert.deepInclude(SubscriptionRef.getUnsafe(state), { name: "Running", restarts: 0 })
      assert.strictEqual(Option.getOrThrow(yield* run).process.pid, first.pid)
    }).pipe(Effect.scoped, Effect.provide(host()), Effect.provide(log.layer))
  })

  it.live("that waits for its next try is stopped at once, with its host", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { command, start, state, until } = yield* Scope.provide(
        supervised({ restart: { delay: "1 hour", maxDelay: "1 hour" } }),
        scope,
      )
      yield* start
      yield* Effect.exit(command("die"))
      yield* until(({ name }) => name === "Restarting")
      yield* Effect.timeout(Scope.close(scope, Exit.void), "150 seconds")
      assert.strictEqual(SubscriptionRef.getUnsafe(state).name, "NotRunning")
    }).pipe(Effect.provide(host())),
  )
})
