/** The hooks' client against a plugin in this process: real gRPC, no process. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { RpcStatus, statusCode } from "../../src/rpc/RpcError.ts"
import type { HooksOptions } from "../../src/hooks/HookPolicy.ts"
import { Hooks, unaryHooks } from "../../src/hooks/Hooks.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import * as FakePlugin from "../../src/testing/FakePlugin.ts"

const connect = Effect.fnUntraced(function* (
  hooks: FakePlugin.FakeHooks<MattermostContract>,
  options?: HooksOptions<MattermostContract>,
) {
  const { client } = yield* FakePlugin.start(MattermostContract, hooks)
  const connected = yield* (yield* Hooks).connect(MattermostContract, client, "fake", options)
  return { ...connected, ...unaryHooks<MattermostContract>(connected) }
})
const status = (code: number) => () => Effect.fail(new RpcStatus({ code, details: "details" }))

describe("Hooks", () => {
  const live = (name: string, effect: Effect.Effect<void, unknown, Hooks | import("effect").Scope.Scope>) =>
    it.live(name, () => effect.pipe(Effect.scoped, Effect.provide(Hooks.layer)))

  live(
    "asks what is implemented once, and calls nothing else",
    Effect.gen(function* () {
      let asked = 0
      let called = 0
      const hooks = yield* connect({
        implemented: () => Effect.sync(() => (asked++, { hooks: ["OnActivate", "ServeHTTP", "HookOfTheFuture"] })),
        onDeactivate: () => Effect.sync(() => (called++, {})),
      })
      assert.deepStrictEqual([...hooks.implemented], ["onActivate", "serveHTTP"])
      const error = yield* Effect.flip(hooks.onDeactivate({}))
      assert.strictEqual(error._tag, "HookNotImplementedError")
      assert.strictEqual(error.message, "plugin fake does not implement OnDeactivate")
      assert.deepStrictEqual([asked, called], [1, 0])
    }),
  )

  live(
    "takes a plugin without Implemented to implement every hook",
    Effect.gen(function* () {
      const hooks = yield* connect({ implemented: status(statusCode.UNIMPLEMENTED) })
      assert.strictEqual(hooks.implemented.size, 41)
      // One that turns out to be missing is so, and nothing worse.
      assert.strictEqual((yield* Effect.flip(hooks.onActivate({})))._tag, "HookNotImplementedError")
    }),
  )

  live(
    "tells an error that the plugin answers, and takes one without an id for none",
    Effect.gen(function* () {
      const hooks = yield* connect({
        onActivate: () => Effect.succeed({ error: { id: "an.id", message: "no license", statusCode: 402 } }),
        onInstall: () => Effect.succeed({ error: { id: "an.id", detailedError: "only details" } }),
        onDeactivate: () => Effect.succeed({ error: { message: "without an id" } }),
      })
      const error = yield* Effect.flip(hooks.onActivate({}))
      assert.deepInclude(error, { _tag: "HookPluginError", id: "an.id", reason: "no license", statusCode: 402 })
      assert.deepInclude(yield* Effect.flip(hooks.onInstall({})), { reason: "only details", statusCode: 500 })
      yield* hooks.onDeactivate({})
    }),
  )

  const statuses: ReadonlyArray<readonly [code: number, tag: string]> = [
    [statusCode.UNAVAILABLE, "HookTransportError"],
    [statusCode.CANCELLED, "HookTransportError"],
    [statusCode.DEADLINE_EXCEEDED, "HookDeadlineError"],
    // It is in the set that the plugin says it implements: this is no "I have nothing against it".
    [statusCode.UNIMPLEMENTED, "HookPluginError"],
    [statusCode.INTERNAL, "HookPluginError"],
    [statusCode.INVALID_ARGUMENT, "HookPluginError"],
    [statusCode.PERMISSION_DENIED, "HookPluginError"],
    [statusCode.UNKNOWN, "HookPluginError"],
  ]
  it.live.each(statuses)("status %i is a %s, never an answer", ([code, tag]) =>
    Effect.gen(function* () {
      const hooks = yield* connect({ userWillLogIn: status(code) })
      assert.strictEqual((yield* Effect.flip(hooks.userWillLogIn({})))._tag, tag)
    }).pipe(Effect.scoped, Effect.provide(Hooks.layer)),
  )

  live(
    "has a deadline for every call, settable for each hook",
    Effect.gen(function* () {
      const slow = () => Effect.never
      const hooks = yield* connect(
        { onActivate: slow, onDeactivate: slow },
        { deadline: "2 seconds", policies: { onDeactivate: { deadline: "100 millis" } } },
      )
      assert.strictEqual(hooks.policy("onActivate").deadline, "2 seconds")
      const error = yield* Effect.flip(hooks.onDeactivate({}))
      assert.deepInclude(error, { _tag: "HookDeadlineError", hook: "OnDeactivate", deadlineMillis: 100 })
    }),
  )

  live(
    "cancels a call that nobody waits for any more",
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      const hooks = yield* connect({
        onActivate: () =>
          Effect.andThen(Deferred.succeed(begun, undefined), Effect.never).pipe(
            Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined)),
          ),
      })
      const call = yield* Effect.forkChild(hooks.onActivate({}))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(call)
      yield* Effect.timeout(Deferred.await(interrupted), "60 seconds")
    }),
  )
})
