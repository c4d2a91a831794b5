/** What clients are told of a plugin that is not there now, by the state it is in; and those that wait for it. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, type Scope, SubscriptionRef } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "../../src/http/NodeServer.ts"
import * as PluginRoutes from "../../src/http/PluginRoutes.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { Hooks } from "../../src/hooks/Hooks.ts"
import { NOT_RUNNING, type PluginState } from "../../src/supervisor/PluginLife.ts"
import { FakePlugin } from "../../src/testing/index.ts"
import { eventually } from "../support/host.ts"

/** A server with a plugin in a state. */
const stated = Effect.fnUntraced(function* (first: Partial<PluginState>, maxRequestsInFlight = 4) {
  const state = yield* SubscriptionRef.make<PluginState>({ ...NOT_RUNNING, ...first })
  const environment = MattermostPlugins.layerEnvironmentTest([
    {
      bundle: { directory: "/p", manifest: { id: "fake", name: "P" } },
      state,
      run: Effect.succeedNone,
      start: Effect.never,
      stop: Effect.void,
      reload: Effect.never,
      replace: () => Effect.never,
    },
  ])
  const served = HttpRouter.serve(
    PluginRoutes.layer(MattermostPlugins, () => Effect.succeedNone, { maxRequestsInFlight }),
    { disableLogger: true, disableListenLog: true },
  ).pipe(
    Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
    Layer.provide(environment),
    Layer.provide(Layer.succeed(MattermostPlugins, yield* MattermostPlugins)),
  )
  const { address } = yield* Effect.provide(HttpServer.HttpServer, yield* Layer.build(served))
  const port = "port" in address ? address.port : 0
  const ask = Effect.tryPromise(async (signal) => {
    const response = await fetch(`http://127.0.0.1:${port}/plugins/fake/x`, { signal })
    return { status: response.status, text: await response.text(), retryAfter: response.headers.get("retry-after") }
  })
  return { ask, state }
})

const live = <A, E>(effect: Effect.Effect<A, E, Layer.Success<typeof layers> | Scope.Scope>) =>
  effect.pipe(Effect.scoped, Effect.provide(layers))
const layers = Layer.merge(Hooks.layer, MattermostPlugins.layer)

const now = Date.now()
const hour = 3_600_000

const TABLE: ReadonlyArray<readonly [Partial<PluginState>, status: number, retryAfter: number | null]> = [
  [{ name: "NotRunning" }, 404, null],
  [{ name: "Starting" }, 503, 1],
  [{ name: "Stopping" }, 404, null],
  [{ name: "Restarting", nextTry: now + hour }, 503, 3600],
  [{ name: "Restarting", nextTry: now - 1 }, 503, 1],
  [{ name: "FailedToStart" }, 404, null],
  [{ name: "FailedToStart", nextTry: now + hour }, 503, 3600],
  [{ name: "FailedToStayRunning" }, 404, null],
  [{ name: "FailedToStayRunning", nextTry: now + hour }, 503, 3600],
]

describe("a request for a plugin that is not there", () => {
  it.live.each(TABLE)("%j: %s, Retry-After %s", ([state, status, retryAfter]) =>
    live(
      Effect.gen(function* () {
        const { ask } = yield* stated(state)
        const answer = yield* ask
        assert.strictEqual(answer.status, status)
        if (retryAfter === null) return assert.isNull(answer.retryAfter)
        // Some of the time may be over.
        assert.isAtMost(Number(answer.retryAfter), retryAfter)
        assert.isAtLeast(Number(answer.retryAfter), Math.max(1, retryAfter - 600))
      }),
    ),
  )

  it.live("waits while a reload has stopped it, as long as there are few; and is served when it is there", () =>
    live(
      Effect.gen(function* () {
        const { ask, state } = yield* stated({ name: "Restarting", isReloading: true }, 2)
        const answers: Array<{ readonly status: number; readonly retryAfter: string | null }> = []
        const asking = Effect.map(ask, (answer) => answers.push(answer))
        const waiting = yield* Effect.forkChild(Effect.all([asking, asking, asking], { concurrency: "unbounded" }))
        yield* eventually("one of them is too many, and is told so", () => answers.length > 0)
        assert.deepInclude(answers[0], { status: 503, retryAfter: "1" })
        assert.isUndefined(waiting.pollUnsafe())
        const { client } = yield* FakePlugin.start(MattermostContract, {
          serveHTTP: (call) =>
            Effect.orDie(call.send({ init: { statusCode: 200 }, bodyChunk: Buffer.from("well"), bodyComplete: true })),
        })
        const { active } = yield* MattermostPlugins
        yield* active.register(yield* (yield* Hooks).connect(MattermostContract, client, "fake"))
        yield* SubscriptionRef.set<PluginState>(state, { ...NOT_RUNNING, name: "Running" })
        yield* Fiber.join(waiting)
        assert.deepStrictEqual(
          answers.map(({ status }) => status),
          [503, 200, 200],
        )
      }),
    ),
  )

  it.live("is told what became of a reload that failed", () =>
    live(
      Effect.gen(function* () {
        const { ask, state } = yield* stated({ name: "Starting", isReloading: true })
        const waiting = yield* Effect.forkChild(ask)
        yield* Effect.sleep("50 millis")
        yield* SubscriptionRef.set<PluginState>(state, { ...NOT_RUNNING, name: "FailedToStayRunning" })
        assert.strictEqual((yield* Fiber.join(waiting)).status, 404)
      }),
    ),
  )
})
