/**
 * What happens while the plugins are asked: what was acknowledged stays, and nothing is stored that nobody agreed to.
 */
import { clone, toBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { ChannelSchema } from "../../src/generated/mattermost/pluginapi/v1/channel_pb.js"
import { jsonBytes } from "../../src/workspace/ServerConfig.ts"
import { MAX_ATTEMPTS } from "../../src/workspace/Undisturbed.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../../src/workspace/Workspace.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { WorkspaceDatabase } from "../../src/workspace/WorkspaceDatabase.ts"
import { registerPlugin } from "./fixture.ts"

const live = Workspace.layer.pipe(
  Layer.provideMerge(Layer.fresh(WorkspaceDatabase.layerMemory)),
  Layer.provideMerge(MattermostPlugins.layer),
)

const setUp = Effect.gen(function* () {
  yield* TestClock.setTime(1000)
  const workspace = yield* Workspace
  const me = yield* workspace.me
  const team = yield* workspace.teams.getByName(TEAM_NAME)
  const channel = yield* workspace.channels.getByName(team.id, CHANNEL_NAME)
  return { workspace, channel, draft: { userId: me.id, channelId: channel.id, message: "old" } }
})

/** Stops whoever passes, the first time: `reached` tells that somebody waits, `open` lets them go on. */
const gate = Effect.gen(function* () {
  const reached = yield* Deferred.make<void>()
  const open = yield* Deferred.make<void>()
  return {
    reached: Deferred.await(reached),
    open: Deferred.succeed(open, undefined),
    pass: Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(open)),
  }
})

/** A few turns for others, as many as some number says that looks random and is the same each time. */
const dice = (seed: number) => {
  let state = seed
  return Effect.suspend(() => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return Effect.repeat(Effect.yieldNow, { times: state % 7 })
  })
}

describe("an edit beside a pin", () => {
  it.effect("stays, and the pin's plugins are asked about the post as it is then", () =>
    Effect.gen(function* () {
      const { draft, workspace } = yield* setUp
      const { id } = yield* workspace.createPost(draft)
      const { open, pass, reached } = yield* gate
      const asked: Array<readonly [boolean, string]> = []
      yield* registerPlugin("p", {
        messageWillBeUpdated: ({ newPost }) => {
          asked.push([newPost!.isPinned, newPost!.message])
          return Effect.as(newPost!.isPinned ? pass : Effect.void, {})
        },
      })
      const pin = yield* Effect.forkChild(workspace.updatePost({ id, isPinned: true }))
      yield* reached
      yield* workspace.updatePost({ id, message: "edited" })
      yield* open
      assert.deepInclude(yield* Fiber.join(pin), { message: "edited", isPinned: true })
      assert.deepInclude(yield* workspace.posts.get(id), { message: "edited", isPinned: true })
      assert.deepStrictEqual(asked, [
        [true, "old"],
        [false, "edited"],
        [true, "edited"],
      ])
    }).pipe(Effect.scoped, Effect.provide(live)),
  )

  it.effect("stays, in whatever order five of them come", () =>
    Effect.gen(function* () {
      const { draft, workspace } = yield* setUp
      const turns = dice(7)
      yield* registerPlugin("p", { messageWillBeUpdated: () => Effect.as(turns, {}) })
      for (let round = 0; round < 40; round++) {
        const { id } = yield* workspace.createPost(draft)
        const changes = [
          { message: "new" },
          { props: { a: round } },
          { fileIds: ["f"] },
          { isPinned: true },
          { hasReactions: true },
        ]
        yield* Effect.forEach(changes, (change) => Effect.andThen(turns, workspace.updatePost({ id, ...change })), {
          concurrency: "unbounded",
        })
        const stored = yield* workspace.posts.get(id)
        for (const change of changes) assert.deepInclude(stored, change)
      }
    }).pipe(Effect.scoped, Effect.provide(live)),
  )

  it.effect("fails when others change the post each time, after a bounded number of times", () =>
    Effect.gen(function* () {
      const { draft, workspace } = yield* setUp
      const { id } = yield* workspace.createPost(draft)
      let asked = 0
      yield* registerPlugin("p", {
        messageWillBeUpdated: ({ newPost }) =>
          newPost?.message === "mine"
            ? Effect.as(Effect.orDie(workspace.updatePost({ id, message: `other ${++asked}` })), {})
            : Effect.succeed({}),
      })
      assert.deepInclude(yield* Effect.flip(workspace.updatePost({ id, message: "mine" })), {
        id: "app.workspace.conflict.app_error",
        statusCode: 409,
      })
      assert.strictEqual(asked, MAX_ATTEMPTS)
      assert.strictEqual((yield* workspace.posts.get(id)).message, `other ${MAX_ATTEMPTS}`)
    }).pipe(Effect.scoped, Effect.provide(live)),
  )
})

describe("a new post", () => {
  it.effect("is not stored below a root, or in a channel, that has gone while the plugins were asked", () =>
    Effect.gen(function* () {
      const { channel, draft, workspace } = yield* setUp
      const sql = yield* SqlClient.SqlClient
      const archive = Effect.gen(function* () {
        const archived = Object.assign(clone(ChannelSchema, channel), { deleteAt: 1n })
        yield* sql`UPDATE channels SET delete_at = 1, message = ${toBinary(ChannelSchema, archived)} WHERE id = ${channel.id}`
      })
      const root = yield* workspace.createPost({ ...draft, message: "root" })
      const cases = [
        ["api.post.create_post.root_id.app_error", workspace.deletePost(root.id), { rootId: root.id }],
        ["api.post.create_post.can_not_post_to_deleted.error", archive, {}],
      ] as const
      for (const [error, meanwhile, more] of cases) {
        const { open, pass, reached } = yield* gate
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* registerPlugin("p", { messageWillBePosted: () => Effect.as(pass, {}) })
            const posting = yield* Effect.forkChild(Effect.flip(workspace.createPost({ ...draft, ...more })))
            yield* reached
            yield* meanwhile
            yield* open
            assert.deepInclude(yield* Fiber.join(posting), { id: error, statusCode: 400 })
          }),
        )
      }
      const { order } = yield* workspace.posts.forChannel(channel.id, { page: 0, perPage: 10 })
      assert.deepStrictEqual(order, [])
      assert.strictEqual((yield* workspace.channels.get(channel.id)).totalMsgCount, 1n)
    }).pipe(Effect.provide(live)),
  )
})

describe("settings", () => {
  it.effect("that were saved stay, though somebody else's are decided upon at the same time", () =>
    Effect.gen(function* () {
      const { workspace } = yield* setUp
      yield* workspace.savePluginConfig("a", { level: 0 })
      const { open, pass, reached } = yield* gate
      // It notes in the settings of `a` what it has seen.
      yield* registerPlugin("p", {
        configurationWillBeSaved: ({ newConfig }) =>
          Effect.gen(function* () {
            const { PluginSettings } = JSON.parse(new TextDecoder().decode(newConfig!.configJson))
            if (PluginSettings.Plugins.b === undefined) return {}
            yield* pass
            PluginSettings.Plugins.a.seen = true
            return { modifiedConfig: { configJson: jsonBytes({ PluginSettings }) } }
          }),
      })
      const saving = yield* Effect.forkChild(workspace.savePluginConfig("b", { x: 1 }))
      yield* reached
      yield* workspace.savePluginConfig("a", { level: 1 })
      yield* open
      yield* Fiber.join(saving)
      assert.deepStrictEqual(yield* workspace.pluginConfigs.all, { a: { level: 1, seen: true }, b: { x: 1 } })
    }).pipe(Effect.scoped, Effect.provide(live)),
  )

  it.effect("of five plugins are all kept, in whatever order they are saved", () =>
    Effect.gen(function* () {
      const { workspace } = yield* setUp
      const turns = dice(11)
      yield* registerPlugin("p", { configurationWillBeSaved: () => Effect.as(turns, {}) })
      for (let round = 0; round < 20; round++) {
        const wanted = Object.fromEntries(["a", "b", "c", "d", "e"].map((id) => [id, { round }]))
        yield* Effect.forEach(
          Object.entries(wanted),
          ([id, config]) => Effect.andThen(turns, workspace.savePluginConfig(id, config)),
          { concurrency: "unbounded" },
        )
        assert.deepStrictEqual(yield* workspace.pluginConfigs.all, wanted)
      }
    }).pipe(Effect.scoped, Effect.provide(live)),
  )
})
