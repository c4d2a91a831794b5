/** What answers in the place of a plugin in tests of backends behaves as a plugin does. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { HOOK_DEADLINE } from "../../src/hooks/HookPolicy.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { recordLog } from "../support/log.ts"

const decide = Effect.flatMap(MattermostPlugins, ({ decide }) =>
  decide("messageWillBePosted", { post: { message: "a" } }),
)
const call = Effect.flatMap(MattermostPlugins, ({ call }) => Effect.flip(call("mock", "messageWillBePosted", {})))

describe("layerTest", () => {
  it.effect("waits for a handler as long as for a plugin", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Effect.all([decide, call], { concurrency: 2 }))
      yield* TestClock.adjust(HOOK_DEADLINE)
      const [{ post }, error] = yield* Fiber.join(fiber)
      assert.strictEqual(post.message, "a", "it is passed over")
      assert.deepInclude(error, { _tag: "HookDeadlineError", hook: "MessageWillBePosted", deadlineMillis: 30_000 })
    }).pipe(Effect.provide(MattermostPlugins.layerTest({ messageWillBePosted: () => Effect.never }))),
  )

  for (const [how, handler] of [
    ["dies", () => Effect.die(new Error("a bug"))],
    [
      "throws",
      () => {
        throw new Error("a bug")
      },
    ],
  ] as const) {
    const log = recordLog()
    it.effect(`takes a handler that ${how} for a plugin that fails, and says so`, () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* decide).post.message, "a", "it is passed over")
        const error = yield* call
        assert.deepInclude(error, { _tag: "HookPluginError", hook: "MessageWillBePosted", isAnswer: false })
        assert.include(error.message, "a bug")
        assert.include(log.messages(), "plugin mock: the handler of MessageWillBePosted has died")
      }).pipe(
        Effect.provide(
          MattermostPlugins.layerTest({ messageWillBePosted: handler }).pipe(Layer.provideMerge(log.layer)),
        ),
      ),
    )
  }
})
