/** How a backend tests what it does with plugins, without a plugin: copy what fits. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { MattermostPlugins } from "effect-plugin-supervisor"
import { FakePlugin } from "effect-plugin-supervisor/testing"
import { vi } from "vitest"
import { Comments } from "../src/Comments.ts"
import * as CommentsPluginApi from "../src/CommentsPluginApi.ts"

describe("Comments", () => {
  it.effect("stores what the plugins made of a comment", () =>
    Effect.gen(function* () {
      const comments = yield* Comments
      yield* comments.add("hi", "somebody")
      assert.deepStrictEqual(
        (yield* comments.all).map(({ message }) => message),
        ["HI"],
      )
    }).pipe(
      Effect.provide(Comments.layer),
      // No plugin, no process: the dispatcher itself is the mock.
      Effect.provide(
        MattermostPlugins.layerTest({
          messageWillBePosted: ({ post }) =>
            Effect.succeed({ modifiedPost: { ...post!, message: post!.message.toUpperCase() } }),
        }),
      ),
    ),
  )

  it.effect("stores nothing that a plugin refuses", () =>
    Effect.gen(function* () {
      const comments = yield* Comments
      const error = yield* Effect.flip(comments.add("hi", "somebody"))
      assert.strictEqual(error.reason, "not today")
      assert.deepStrictEqual(yield* comments.all, [])
    }).pipe(
      Effect.provide(Comments.layer),
      Effect.provide(
        MattermostPlugins.layerTest({
          messageWillBePosted: () => Effect.succeed({ rejectionReason: "not today" }),
        }),
      ),
    ),
  )

  it.effect("reaches a plugin over gRPC, whose process is a fake", () => {
    const seen: Array<string> = []
    const plugin = FakePlugin.supervisor(MattermostPlugins, {
      onActivate: () => Effect.succeed({}),
      messageWillBePosted: ({ post }) =>
        Effect.succeed(
          post?.message === "bad" ? { rejectionReason: "no" } : { modifiedPost: { ...post!, message: "better" } },
        ),
      messageHasBeenPosted: ({ post }) => Effect.sync(() => (seen.push(post?.message ?? ""), {})),
    })
    const bundle = { directory: "/plugins/fake", manifest: { id: "fake-plugin", name: "Fake" } }
    const live = plugin.pipe(
      Layer.provide(CommentsPluginApi.layer),
      Layer.provideMerge(Comments.layer),
      Layer.provideMerge(MattermostPlugins.layer),
    )
    return Effect.gen(function* () {
      const { add } = yield* Comments
      yield* (yield* MattermostPlugins.Supervisor).start(bundle)
      assert.strictEqual((yield* Effect.flip(add("bad", "somebody"))).reason, "no")
      assert.strictEqual((yield* add("good", "somebody")).message, "better")
      // Notifications are told in the background.
      yield* Effect.promise(() => vi.waitUntil(() => seen.length > 0))
      assert.deepStrictEqual(seen, ["better"])
    }).pipe(Effect.scoped, Effect.provide(live))
  })
})
