import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Queue, Scope } from "effect"
import { TestClock } from "effect/testing"
import { type Post, PostMetadataSchema, PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { HookTransportError } from "../../src/hooks/HookError.ts"
import { MAX_MESSAGE_LENGTH } from "../../src/workspace/PostRules.ts"
import type { NewPost } from "../../src/workspace/PostWriter.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { DISMISS_POST_REASON, isDismissal } from "../../src/mattermost/Dismissal.ts"
import { HookRejectedError } from "../../src/hooks/HookRejectedError.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../../src/workspace/Workspace.ts"
import { registerPlugin, workspaceLayer } from "./fixture.ts"

const seeded = Effect.gen(function* () {
  const workspace = yield* Workspace
  const me = yield* workspace.me
  const team = yield* workspace.teams.getByName(TEAM_NAME)
  const channel = yield* workspace.channels.getByName(team.id, CHANNEL_NAME)
  return { workspace, me, team, channel, draft: { userId: me.id, channelId: channel.id } }
})

/** A `MessageWillBePosted` that answers what `change` makes of the post. */
const willBePosted = (change: (post: Post) => NewPost | undefined) => ({
  messageWillBePosted: ({ post }: { readonly post?: unknown }) =>
    Effect.sync(() => {
      const modified = change(post as Post)
      return {
        ...(modified !== undefined && { modifiedPost: create(PostSchema, modified) }),
      }
    }),
})

const rejection = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, HookRejectedError)
    return error
  })

describe("a new workspace", () => {
  it.effect("has an administrator, a team and a channel", () =>
    Effect.gen(function* () {
      const { channel, me, team, workspace } = yield* seeded
      assert.strictEqual(me.username, "admin")
      assert.strictEqual(me.roles, "system_admin system_user")
      assert.match(me.id, /^[ybndrfg8ejkmcpqxot1uwisza345h769]{26}$/)
      assert.strictEqual(channel.teamId, team.id)
      assert.deepStrictEqual(
        (yield* workspace.channels.list({ page: 0, perPage: 0 })).map(({ name }) => name),
        ["town-square"],
      )
    }).pipe(Effect.provide(workspaceLayer)),
  )
})

describe("createPost", () => {
  it.effect("stores the post with an id and times, and counts it", () =>
    Effect.gen(function* () {
      const { channel, draft, workspace } = yield* seeded
      yield* TestClock.setTime(1_700_000_000_000)
      const root = yield* workspace.createPost({ ...draft, message: "root" })
      yield* TestClock.adjust("5 millis")
      const reply = yield* workspace.createPost({ ...draft, message: "reply", rootId: root.id })
      assert.strictEqual(root.createAt, 1_700_000_000_000n)
      assert.notStrictEqual(root.id, reply.id)
      const stored = yield* workspace.posts.get(root.id)
      assert.strictEqual(stored.replyCount, 1n)
      assert.strictEqual(stored.lastReplyAt, 1_700_000_000_005n)
      const counted = yield* workspace.channels.get(channel.id)
      assert.strictEqual(counted.totalMsgCount, 2n)
      assert.strictEqual(counted.totalMsgCountRoot, 1n)
      assert.strictEqual(counted.lastPostAt, 1_700_000_000_005n)
      assert.strictEqual(counted.lastRootPostAt, 1_700_000_000_000n)
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("refuses what is not a post", () =>
    Effect.gen(function* () {
      const { draft, team, workspace } = yield* seeded
      const other = yield* workspace.createChannel({ teamId: team.id, name: "other", displayName: "Other", type: 1 })
      const root = yield* workspace.createPost({ ...draft, message: "root" })
      const reply = yield* workspace.createPost({ ...draft, message: "reply", rootId: root.id })
      const cases: ReadonlyArray<readonly [NewPost, id: string, status: number]> = [
        [{ ...draft, message: " \n" }, "api.post.create_post.empty.app_error", 400],
        [
          { ...draft, message: "𝒌".repeat(MAX_MESSAGE_LENGTH + 1) },
          "model.post.is_valid.message_length.app_error",
          400,
        ],
        [{ ...draft, message: "m", channelId: "nowhere" }, "app.channel.get.existing.app_error", 404],
        [{ ...draft, message: "m", userId: "nobody" }, "app.user.missing_account.const", 404],
        [{ ...draft, message: "m", rootId: "nothing" }, "api.post.create_post.root_id.app_error", 400],
        [{ ...draft, message: "m", rootId: reply.id }, "api.post.create_post.root_id.app_error", 400],
        [
          { ...draft, message: "m", rootId: root.id, channelId: other.id },
          "api.post.create_post.channel_root_id.app_error",
          400,
        ],
      ]
      for (const [post, id, status] of cases) {
        const error = yield* Effect.flip(workspace.createPost(post))
        assert.deepInclude(error, { id, statusCode: status })
      }
      yield* workspace.createPost({ ...draft, message: "𝒌".repeat(MAX_MESSAGE_LENGTH) })
      yield* workspace.createPost({ ...draft, fileIds: ["file"] })
      yield* workspace.createPost({ ...draft, props: { attachments: [{ text: "shown" }] } })
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("lets plugins change a post, one after the other", () =>
    Effect.gen(function* () {
      const { draft, me, channel, workspace } = yield* seeded
      yield* registerPlugin(
        "b",
        willBePosted((post) => ({ ...post, message: `${post.message} b`, props: { b: 1 } })),
      )
      yield* registerPlugin(
        "a",
        willBePosted((post) => ({ ...post, message: `${post.message} a` })),
      )
      yield* registerPlugin(
        "c",
        willBePosted(() => undefined),
      )
      yield* registerPlugin(
        "d",
        willBePosted((post) => ({
          ...post,
          id: "stolen",
          userId: "stolen",
          channelId: "stolen",
          createAt: 1n,
          deleteAt: 1n,
          rootId: "stolen",
        })),
      )
      yield* TestClock.setTime(1000)
      const { id } = yield* workspace.createPost({ ...draft, message: "m" })
      const stored = yield* workspace.posts.get(id)
      assert.strictEqual(stored.message, "m a b")
      assert.deepStrictEqual(stored.props, { b: 1 })
      assert.deepInclude(stored, {
        userId: me.id,
        channelId: channel.id,
        createAt: 1000n,
        deleteAt: 0n,
        rootId: "",
      })
      assert.notStrictEqual(id, "stolen")
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("stores nothing and tells nobody when a plugin refuses", () =>
    Effect.gen(function* () {
      const { channel, draft, workspace } = yield* seeded
      const told = yield* Queue.unbounded<string>()
      yield* registerPlugin("veto", {
        messageWillBePosted: ({ post }) =>
          Effect.succeed({
            rejectionReason:
              post?.message === "bad" ? "no bad words" : post?.message === "noise" ? DISMISS_POST_REASON : "",
          }),
        messageHasBeenPosted: ({ post }) => Effect.as(Queue.offer(told, post?.message ?? ""), {}),
      })
      const vetoed = yield* rejection(workspace.createPost({ ...draft, message: "bad" }))
      assert.strictEqual(vetoed.message, "Post rejected by plugin. no bad words")
      assert.isFalse(isDismissal(vetoed))
      assert.isTrue(isDismissal(yield* rejection(workspace.createPost({ ...draft, message: "noise" }))))
      yield* workspace.createPost({ ...draft, message: "good" })
      assert.strictEqual(yield* Queue.take(told), "good")
      assert.strictEqual((yield* workspace.posts.forChannel(channel.id, { page: 0, perPage: 10 })).order.length, 1)
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("passes over a plugin that fails", () =>
    Effect.gen(function* () {
      const { draft, workspace } = yield* seeded
      yield* registerPlugin("down", {
        messageWillBePosted: () =>
          Effect.fail(
            new HookTransportError({
              pluginId: "down",
              hook: "MessageWillBePosted",
              status: "UNAVAILABLE",
              details: "gone",
            }),
          ),
      })
      const { id } = yield* workspace.createPost({ ...draft, message: "m" })
      assert.strictEqual((yield* workspace.posts.get(id)).message, "m")
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("refuses what a plugin made too long", () =>
    Effect.gen(function* () {
      const { draft, workspace } = yield* seeded
      yield* registerPlugin(
        "long",
        willBePosted((post) => ({ ...post, message: "x".repeat(MAX_MESSAGE_LENGTH + 1) })),
      )
      const error = yield* Effect.flip(workspace.createPost({ ...draft, message: "m" }))
      assert.deepInclude(error, { id: "model.post.is_valid.message_length.app_error", statusCode: 400 })
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("tells plugins of the stored post and of the request", () =>
    Effect.gen(function* () {
      const { draft, workspace } = yield* seeded
      const told = yield* Deferred.make<{ post: unknown; context: object | undefined; stored: boolean }>()
      yield* registerPlugin("listener", {
        messageHasBeenPosted: ({ pluginContext, post }) =>
          workspace.posts.get(post?.id ?? "").pipe(
            Effect.isSuccess,
            Effect.flatMap((stored) => Deferred.succeed(told, { post: post?.message, context: pluginContext, stored })),
            Effect.as({}),
          ),
      })
      yield* workspace.createPost({ ...draft, message: "m" }, { requestId: "r1", ipAddress: "192.0.2.1" })
      const { context, post, stored } = yield* Deferred.await(told)
      assert.strictEqual(post, "m")
      assert.deepInclude(context, { requestId: "r1", ipAddress: "192.0.2.1" })
      assert.isTrue(stored)
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("hides the metadata from plugins, and keeps it with the fields it does not know", () =>
    Effect.gen(function* () {
      const { draft, workspace } = yield* seeded
      let seen: Post | undefined
      yield* registerPlugin(
        "p",
        willBePosted((post) => {
          seen = post
          return post
        }),
      )
      // Field 1000, a string, of a contract to come.
      const future = new Uint8Array([0xc2, 0x3e, 3, 0x61, 0x62, 0x63])
      const known = toBinary(
        PostSchema,
        create(PostSchema, {
          ...draft,
          message: "m",
          props: { deep: { list: [1, null, "x"] } },
          metadata: { embeds: [{ type: "link", url: "https://example.com" }], priority: { priority: "urgent" } },
        }),
      )
      const { id } = yield* workspace.createPost(fromBinary(PostSchema, new Uint8Array([...known, ...future])))
      assert.isUndefined(seen?.metadata)
      const stored = yield* workspace.posts.get(id)
      assert.deepStrictEqual(stored.props, { deep: { list: [1, null, "x"] } })
      assert.strictEqual(stored.metadata?.embeds[0]?.url, "https://example.com")
      assert.strictEqual(stored.metadata?.priority?.priority, "urgent")
      assert.deepStrictEqual(
        stored.$unknown?.map(({ no }) => no),
        [1000],
      )
    }).pipe(Effect.provide(workspaceLayer)),
  )
})

describe("updatePost", () => {
  it.effect("asks and tells the plugins, and keeps what is not changed", () =>
    Effect.gen(function* () {
      const { draft, workspace } = yield* seeded
      yield* TestClock.setTime(1000)
      const { id } = yield* workspace.createPost({ ...draft, message: "old", props: { kept: true } })
      const told = yield* Deferred.make<ReadonlyArray<unknown>>()
      yield* registerPlugin("p", {
        messageWillBeUpdated: ({ newPost, oldPost }) =>
          Effect.succeed(
            newPost?.message === "bad"
              ? { rejectionReason: "no" }
              : { modifiedPost: { ...newPost!, message: `${oldPost?.message}>${newPost?.message}`, userId: "x" } },
          ),
        messageHasBeenUpdated: ({ newPost, oldPost }) =>
          Effect.as(Deferred.succeed(told, [oldPost?.message, newPost?.message]), {}),
      })
      yield* TestClock.setTime(2000)
      yield* rejection(workspace.updatePost({ id, message: "bad" }))
      assert.strictEqual((yield* workspace.posts.get(id)).message, "old")
      yield* workspace.updatePost({ id, message: "new" })
      assert.deepStrictEqual(yield* Deferred.await(told), ["old", "old>new"])
      const stored = yield* workspace.posts.get(id)
      assert.deepInclude(stored, {
        message: "old>new",
        createAt: 1000n,
        updateAt: 2000n,
        editAt: 2000n,
        userId: draft.userId,
      })
      assert.deepStrictEqual(stored.props, { kept: true })
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("does not bring back a post that is deleted meanwhile", () =>
    Effect.gen(function* () {
      const { draft, workspace } = yield* seeded
      yield* TestClock.setTime(1000)
      const { id } = yield* workspace.createPost({ ...draft, message: "old" })
      yield* registerPlugin("p", {
        messageWillBeUpdated: () => Effect.as(Effect.orDie(workspace.deletePost(id)), { rejectionReason: "" }),
      })
      assert.deepInclude(yield* Effect.flip(workspace.updatePost({ id, message: "new" })), { statusCode: 404 })
      assert.deepInclude(yield* Effect.flip(workspace.posts.get(id)), { statusCode: 404 })
    }).pipe(Effect.provide(workspaceLayer)),
  )
})

describe("deletePost", () => {
  it.effect("takes the replies along and tells of the post", () =>
    Effect.gen(function* () {
      const { channel, draft, workspace } = yield* seeded
      yield* TestClock.setTime(1000)
      const root = yield* workspace.createPost({ ...draft, message: "root" })
      const reply = yield* workspace.createPost({ ...draft, message: "reply", rootId: root.id })
      const told = yield* Queue.unbounded<readonly [string | undefined, bigint | undefined]>()
      yield* registerPlugin("p", {
        messageHasBeenDeleted: ({ post }) => Effect.as(Queue.offer(told, [post?.message, post?.deleteAt]), {}),
      })
      yield* TestClock.setTime(2000)
      yield* workspace.deletePost(root.id)
      assert.deepStrictEqual(yield* Queue.take(told), ["root", 2000n])
      assert.strictEqual(yield* Queue.size(told), 0)
      for (const id of [root.id, reply.id]) {
        assert.deepInclude(yield* Effect.flip(workspace.posts.get(id)), { id: "app.post.get.app_error" })
      }
      assert.deepInclude(yield* Effect.flip(workspace.deletePost(root.id)), { statusCode: 404 })
      assert.deepStrictEqual((yield* workspace.posts.forChannel(channel.id, { page: 0, perPage: 0 })).order, [])
      // Who keeps a copy learns of the deletion.
      const since = yield* workspace.posts.since(channel.id, 1500)
      assert.deepStrictEqual(since.order, [reply.id, root.id])
      assert.strictEqual(since.posts[root.id]?.deleteAt, 2000n)
    }).pipe(Effect.provide(workspaceLayer)),
  )
})

describe("reading posts", () => {
  it.effect("asks the plugins, on every way to read, about all posts of an answer at once", () =>
    Effect.gen(function* () {
      const { channel, draft, workspace } = yield* seeded
      const { posts } = workspace
      yield* TestClock.setTime(1000)
      const root = yield* workspace.createPost({
        ...draft,
        message: "root",
        metadata: { priority: { priority: "urgent" } },
      })
      yield* TestClock.setTime(2000)
      const reply = yield* workspace.createPost({ ...draft, message: "reply", rootId: root.id })
      yield* TestClock.setTime(3000)
      const last = yield* workspace.createPost({ ...draft, message: "last" })
      const asked: Array<ReadonlyArray<string>> = []
      yield* registerPlugin("p", {
        messagesWillBeConsumed: ({ posts }) =>
          Effect.sync(() => {
            asked.push(posts.map(({ message }) => message))
            assert.isTrue(posts.every(({ metadata }) => metadata === undefined))
            // One post is left as it is, by leaving it out, and one that nobody asked about is made up.
            const rewritten = posts
              .filter(({ message }) => message !== "last")
              .map((post) => Object.assign(post, { message: `${post.message}!`, metadata: create(PostMetadataSchema) }))
            return { posts: [...rewritten, create(PostSchema, { id: "made-up", message: "made up" })] }
          }),
      })
      const page = { page: 0, perPage: 10 }
      const ways = [
        [posts.forChannel(channel.id, page), ["last", "reply", "root"]],
        [posts.since(channel.id, 500), ["last", "reply", "root"]],
        [posts.after(channel.id, root.id, page), ["last", "reply"]],
        [posts.before(channel.id, last.id, page), ["reply", "root"]],
        [posts.thread(reply.id), ["reply", "root"]],
        [posts.forChannel(channel.id, { page: 9, perPage: 10 }), []],
      ] as const
      for (const [read, messages] of ways) {
        const { order, posts } = yield* read
        assert.deepStrictEqual(
          order.map((id) => posts[id]?.message),
          messages.map((message) => (message === "last" ? message : `${message}!`)),
        )
        assert.lengthOf(Object.keys(posts), messages.length)
      }
      const read = yield* posts.get(root.id)
      assert.strictEqual(read.message, "root!")
      assert.strictEqual(read.metadata?.priority?.priority, "urgent")
      assert.isUndefined((yield* posts.get(reply.id)).metadata)
      assert.deepStrictEqual(asked, [
        ...ways.map(([, messages]) => messages).filter(({ length }) => length > 0),
        ["root"],
        ["reply"],
      ])
    }).pipe(Effect.scoped, Effect.provide(workspaceLayer)),
  )

  it.effect("changes nothing of what is stored, and is refused where a plugin that has to agree fails", () =>
    Effect.gen(function* () {
      const { draft, workspace } = yield* seeded
      const { id } = yield* workspace.createPost({ ...draft, message: "stored" })
      const plugin = yield* Scope.make()
      const updated = yield* Deferred.make<string | undefined>()
      yield* Scope.provide(
        registerPlugin("p", {
          messagesWillBeConsumed: ({ posts }) =>
            Effect.succeed({ posts: posts.map((post) => ({ ...post, message: "shown" })) }),
          messageHasBeenUpdated: ({ oldPost }) => Effect.as(Deferred.succeed(updated, oldPost?.message), {}),
        }),
        plugin,
      )
      assert.strictEqual((yield* workspace.posts.get(id)).message, "shown")
      yield* workspace.updatePost({ id, isPinned: true })
      assert.strictEqual(yield* Deferred.await(updated), "stored")
      yield* Scope.close(plugin, Exit.void)
      assert.deepInclude(yield* workspace.posts.get(id), { message: "stored", isPinned: true })

      const { require } = yield* MattermostPlugins
      yield* require("guard", { policies: { messagesWillBeConsumed: { onFailure: "refuse" } } })
      assert.deepInclude(yield* Effect.flip(workspace.posts.get(id)), {
        id: "app.plugin.guard_hook_failed",
        statusCode: 503,
      })
    }).pipe(Effect.scoped, Effect.provide(workspaceLayer)),
  )
})

describe("lists of posts", () => {
  it.effect("come in pages, newest first, also when the clock stands still", () =>
    Effect.gen(function* () {
      const { channel, draft, workspace } = yield* seeded
      const ids = yield* Effect.forEach([0, 1, 2, 3, 4, 5], (index) =>
        Effect.map(workspace.createPost({ ...draft, message: `m${index}` }), ({ id }) => id),
      )
      const messages = (list: { readonly order: ReadonlyArray<string>; readonly posts: { [id: string]: Post } }) =>
        list.order.map((id) => list.posts[id]?.message)
      const { after, before, forChannel } = workspace.posts
      const first = yield* forChannel(channel.id, { page: 0, perPage: 4 })
      assert.deepStrictEqual(messages(first), ["m5", "m4", "m3", "m2"])
      assert.isTrue(first.hasNext)
      const second = yield* forChannel(channel.id, { page: 1, perPage: 4 })
      assert.deepStrictEqual(messages(second), ["m1", "m0"])
      assert.isFalse(second.hasNext)
      assert.deepStrictEqual(messages(yield* before(channel.id, ids[3]!, { page: 0, perPage: 2 })), ["m2", "m1"])
      assert.deepStrictEqual(messages(yield* before(channel.id, ids[3]!, { page: 1, perPage: 2 })), ["m0"])
      assert.deepStrictEqual(messages(yield* after(channel.id, ids[2]!, { page: 0, perPage: 2 })), ["m4", "m3"])
      assert.deepStrictEqual(messages(yield* after(channel.id, ids[2]!, { page: 1, perPage: 2 })), ["m5"])
      const reply = yield* workspace.createPost({ ...draft, message: "r", rootId: ids[0]! })
      assert.deepStrictEqual(messages(yield* workspace.posts.thread(reply.id)), ["r", "m0"])
      assert.deepInclude(yield* Effect.flip(after(channel.id, "nothing", { page: 0, perPage: 2 })), { statusCode: 404 })
    }).pipe(Effect.provide(workspaceLayer)),
  )
})

describe("users and channels", () => {
  it.effect("makes users once, without their secrets", () =>
    Effect.gen(function* () {
      const { workspace } = yield* seeded
      const told = yield* Deferred.make<unknown>()
      yield* registerPlugin("p", {
        userHasBeenCreated: ({ user }) => Effect.as(Deferred.succeed(told, user?.password), {}),
      })
      const user = yield* workspace.createUser({
        username: "Alice",
        email: "Alice@Example.com",
        password: "hunter2",
        authData: "token",
        mfaSecret: "secret",
      })
      assert.strictEqual(yield* Deferred.await(told), "")
      const stored = yield* workspace.users.getByEmail("alice@EXAMPLE.com")
      assert.deepInclude(stored, { id: user.id, username: "alice", password: "", mfaSecret: "", roles: "system_user" })
      assert.isUndefined(stored.authData)
      for (const [init, id] of [
        [{ username: "ALICE", email: "b@example.com" }, "app.user.save.username_exists.app_error"],
        [{ username: "bob", email: "alice@example.com" }, "app.user.save.email_exists.app_error"],
        [{ username: "b o b", email: "b@example.com" }, "model.user.is_valid.username.app_error"],
        [{ username: "bob", email: "nowhere" }, "model.user.is_valid.email.app_error"],
      ] as const) {
        assert.deepInclude(yield* Effect.flip(workspace.createUser(init)), { id, statusCode: 400 })
      }
      yield* workspace.createUser({ username: "bob", email: "bob@example.com" })
      const names = (page: number) =>
        Effect.map(workspace.users.list({ page, perPage: 2 }), (users) => users.map(({ username }) => username))
      assert.deepStrictEqual([yield* names(0), yield* names(1), yield* names(2)], [["admin", "alice"], ["bob"], []])
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("makes channels once, and one channel for two users", () =>
    Effect.gen(function* () {
      const { me, team, workspace } = yield* seeded
      const init = { teamId: team.id, name: "dev", displayName: "Dev", type: 1 }
      const dev = yield* workspace.createChannel(init)
      for (const [wrong, id] of [
        [init, "store.sql_channel.save_channel.exists.app_error"],
        [{ ...init, name: "De v" }, "model.channel.is_valid.1_or_more.app_error"],
        [{ ...init, name: "x", type: 3 }, "model.channel.is_valid.type.app_error"],
        [{ ...init, name: "x", displayName: "" }, "model.channel.is_valid.display_name.app_error"],
        [{ ...init, teamId: "none" }, "app.team.get.find.app_error"],
      ] as const) {
        assert.deepInclude(yield* Effect.flip(workspace.createChannel(wrong)), { id })
      }
      assert.strictEqual((yield* workspace.channels.getByName(team.id, "dev")).id, dev.id)
      const bob = yield* workspace.createUser({ username: "bob", email: "bob@example.com" })
      const told = yield* Queue.unbounded<string | undefined>()
      yield* registerPlugin("p", {
        channelHasBeenCreated: ({ channel }) => Effect.as(Queue.offer(told, channel?.id), {}),
      })
      const direct = yield* workspace.directChannel(me.id, bob.id)
      assert.strictEqual((yield* workspace.directChannel(bob.id, me.id)).id, direct.id)
      const next = yield* workspace.createChannel({ ...init, name: "next", displayName: "Zzz" })
      assert.deepStrictEqual(yield* Queue.takeN(told, 2), [direct.id, next.id], "plugins hear of each once")
      assert.deepStrictEqual(
        (yield* workspace.channels.list({ page: 0, perPage: 0 })).map(({ name }) => name),
        ["dev", "town-square", "next"],
      )
    }).pipe(Effect.provide(workspaceLayer)),
  )
})
