/** Bounds of what the workspace takes, and who may say what: by the calls that plugins make. */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import type { PluginApiError } from "../../src/api/PluginApi.ts"
import { CommandSchema } from "../../src/generated/mattermost/pluginapi/v1/api_command_pb.js"
import { ChannelSchema } from "../../src/generated/mattermost/pluginapi/v1/channel_pb.js"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { UserSchema } from "../../src/generated/mattermost/pluginapi/v1/user_pb.js"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../../src/workspace/Workspace.ts"
import { WorkspaceDatabase } from "../../src/workspace/WorkspaceDatabase.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { MAX_POST_BYTES, WorkspaceLimits } from "../../src/workspace/WorkspaceLimits.ts"
import { pluginApi, registerPlugin, workspaceLayer } from "./fixture.ts"

const setUp = Effect.gen(function* () {
  const workspace = yield* Workspace
  const { one } = yield* pluginApi
  const me = yield* workspace.me
  const team = yield* workspace.teams.getByName(TEAM_NAME)
  const channel = yield* workspace.channels.getByName(team.id, CHANNEL_NAME)
  const post = (init: MessageInitShape<typeof PostSchema>) =>
    one.createPost({ post: create(PostSchema, { userId: me.id, channelId: channel.id, message: "m", ...init }) })
  return { workspace, one, me, team, channel, post }
})

const refused = <A>(effect: Effect.Effect<A, object>, expected: object) =>
  Effect.map(Effect.flip(effect), (error) => assert.deepInclude(error, expected))

const limited = (limits: Partial<(typeof WorkspaceLimits)["Service"]>) =>
  Effect.provide(
    workspaceLayer.pipe(
      Layer.provide(
        Layer.effect(
          WorkspaceLimits,
          Effect.map(WorkspaceLimits, (defaults) => ({ ...defaults, ...limits })),
        ),
      ),
    ),
  )

describe("a post's bounds", () => {
  it.effect("are Mattermost's, by characters, and what peers can be sent, by bytes", () =>
    Effect.gen(function* () {
      const { post, workspace } = yield* setUp
      const text = (length: number) => ({ props: { a: "x".repeat(length) } })
      yield* post(text(799_900))
      yield* refused(post(text(800_001)), { id: "model.post.is_valid.props.app_error", statusCode: 400 })
      // Letters take several bytes, and numbers more on the wire than as JSON.
      const tooLarge = { id: "app.workspace.too_large.app_error", statusCode: 413 }
      yield* refused(post({ props: { a: "é😀".repeat(200_000) } }), tooLarge)
      yield* refused(post({ props: { a: "é😀".repeat(500_000) } }), tooLarge)
      yield* refused(post({ props: { n: Array.from({ length: 99_000 }, () => 1) } }), tooLarge)
      yield* post({ fileIds: Array.from({ length: 10 }, () => "f".repeat(26)) })
      yield* refused(post({ fileIds: Array.from({ length: 11 }, () => "f".repeat(26)) }), {
        id: "model.post.is_valid.file_ids.app_error",
      })
      yield* refused(post({ hashtags: "#".repeat(1001) }), { id: "model.post.is_valid.hashtags.app_error" })
      // Imports have times of their own; those in nanoseconds, or microseconds, are mistakes.
      for (const createAt of [1n, 253_402_300_799_999n]) {
        assert.strictEqual((yield* post({ createAt })).post?.createAt, createAt)
      }
      for (const createAt of [253_402_300_800_000n, 1_700_000_000_000_000n]) {
        yield* refused(post({ createAt }), { id: "model.post.is_valid.create_at.app_error" })
      }
      // Whoever calls, in this process as well.
      const me = yield* workspace.me
      const { id: channelId } = (yield* workspace.channels.list({ page: 0, perPage: 1 }))[0]!
      const draft = { userId: me.id, channelId, message: "m" }
      for (const wrong of [{ createAt: 2n ** 60n }, { props: { a: Number.NaN } }, { message: "\ud83d" }]) {
        yield* refused(workspace.createPost({ ...draft, ...wrong }), {
          id: "api.context.invalid_body_param.app_error",
        })
      }
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("hold for what plugins make of it, and one that just fits can be pinned, edited and deleted", () =>
    Effect.gen(function* () {
      const { me, channel, workspace } = yield* setUp
      const fits = create(PostSchema, { userId: me.id, channelId: channel.id, message: "m" })
      const plain = (length: number) => ({ ...fits, props: { a: "é".repeat(length), b: 1 } })
      let length = MAX_POST_BYTES / 2 - 1000
      let last = yield* workspace.createPost(plain(length))
      for (const step of [256, 64, 16, 4, 1]) {
        for (;;) {
          const next = yield* Effect.option(workspace.createPost(plain(length + step)))
          if (next._tag === "None") break
          length += step
          last = next.value
        }
      }
      yield* workspace.updatePost({ id: last.id, isPinned: true })
      yield* workspace.updatePost({ id: last.id, message: "n", hasReactions: true })
      yield* workspace.deletePost(last.id)

      yield* registerPlugin("p", {
        messageWillBePosted: ({ post }) =>
          Effect.succeed({ modifiedPost: { ...post!, props: { a: "x".repeat(900_000) } } }),
      })
      yield* refused(workspace.createPost(fits), { id: "model.post.is_valid.props.app_error" })
    }).pipe(Effect.scoped, limited({})),
  )

  it.effect("are an operator's to set", () =>
    Effect.gen(function* () {
      const { post } = yield* setUp
      yield* post({ props: { a: "x" } })
      yield* refused(post({ props: { a: "x".repeat(100) } }), { id: "model.post.is_valid.props.app_error" })
    }).pipe(limited({ postProps: 100 })),
  )
})

describe("lists", () => {
  it.effect("refuse pages and ids beyond their bounds, rather than answering less than was asked for", () =>
    Effect.gen(function* () {
      const { channel, one, post, team, workspace } = yield* setUp
      const { post: first } = yield* post({})
      const ids = { channelId: channel.id, postId: first!.id! }
      const lists = (perPage: number) => [
        one.getUsers({ perPage }),
        one.getPublicChannelsForTeam({ teamId: team.id, perPage }),
        one.kVList({ perPage }),
        one.getPostsForChannel({ channelId: channel.id, perPage }),
        one.getPostsAfter({ ...ids, perPage }),
        one.getPostsBefore({ ...ids, perPage }),
      ]
      for (const list of lists(20)) yield* list as Effect.Effect<unknown>
      for (const perPage of [21, 2 ** 31 - 1]) {
        for (const list of lists(perPage)) {
          yield* refused(list as Effect.Effect<unknown, PluginApiError>, {
            id: "api.context.invalid_body_param.app_error",
            message: `per_page is ${perPage}, and may be 20 at most`,
          })
        }
      }
      yield* one.getUsers({ page: 2 ** 31 - 1, perPage: 20 })
      yield* refused(one.getUsersByIds({ userIds: Array.from({ length: 21 }, () => "x") }), { statusCode: 400 })
      // What does not exist is not repeated at length.
      const missing = yield* Effect.flip(workspace.users.getByUsername("x".repeat(1e6)))
      assert.isBelow(missing.message.length, 300)
    }).pipe(limited({ pageItems: 20 })),
  )

  it.effect("of large posts are answered by their size: the default page always, larger ones if they fit", () =>
    Effect.gen(function* () {
      const { me, posts, createPost, ...workspace } = yield* Workspace
      const sql = yield* SqlClient.SqlClient
      const { id: channelId } = (yield* workspace.channels.list({ page: 0, perPage: 1 }))[0]!
      const { id: userId } = yield* me
      const { id: rootId } = yield* createPost({ userId, channelId, message: "root" })
      // 1 MB each: 70 of them are more than 64 MiB.
      const large = create(PostSchema, { userId, channelId, rootId, props: { a: "x".repeat(1_000_000) } })
      for (let count = 0; count < 70; count++) {
        const id = `large${count}`
        const message = toBinary(PostSchema, { ...large, id })
        const times = { create_at: 100 + count, update_at: 100, delete_at: 0 }
        yield* sql`INSERT INTO posts ${sql.insert({ id, channel_id: channelId, user_id: userId, root_id: rootId, ...times, message })}`
      }
      const list = yield* posts.forChannel(channelId, { page: 0, perPage: 60 })
      assert.deepStrictEqual([list.order.length, list.order[0], list.hasNext], [60, "large69", true])
      yield* refused(posts.forChannel(channelId, { page: 0, perPage: 71 }), {
        id: "app.post.get_posts.too_large.app_error",
        statusCode: 413,
      })
      // Lists without pages have the newest.
      const thread = yield* posts.thread(rootId)
      assert.deepStrictEqual([thread.order.length, thread.order[0], thread.order.at(-1)], [68, "large69", rootId])
      const since = yield* posts.since(channelId, 1)
      assert.deepStrictEqual([since.order.length, since.order[0]], [67, "large69"])
    }).pipe(
      Effect.provide(
        Workspace.layer.pipe(
          Layer.provideMerge(Layer.fresh(WorkspaceDatabase.layerMemory)),
          Layer.provide(MattermostPlugins.layer),
        ),
      ),
    ),
  )

  it.effect("of posts are shown to plugins in parts that they can receive", () =>
    Effect.gen(function* () {
      const { channel, post, workspace } = yield* setUp
      const asked: Array<number> = []
      yield* registerPlugin("p", {
        messagesWillBeConsumed: ({ posts }) =>
          Effect.sync(() => {
            asked.push(posts.length)
            return { posts: posts.map((post) => ({ ...post, message: `${post.message} (read)` })) }
          }),
      })
      for (let count = 0; count < 5; count++)
        yield* post({ props: { a: "x".repeat(700_000) }, createAt: BigInt(10 + count) })
      for (let count = 0; count < 20; count++) yield* post({ createAt: BigInt(100 + count) })
      const { order, posts } = yield* workspace.posts.forChannel(channel.id, { page: 0, perPage: 60 })
      assert.strictEqual(order.length, 25)
      assert.isTrue(order.every((id) => posts[id]?.message === "m (read)"))
      assert.deepStrictEqual(asked, [22, 2, 1])
    }).pipe(Effect.scoped, Effect.provide(workspaceLayer)),
  )
})

describe("what plugins keep", () => {
  it.effect("has bounds: values, settings, commands", () =>
    Effect.gen(function* () {
      const { one, workspace } = yield* setUp
      const value = new Uint8Array(100)
      yield* one.kVSet({ key: "k", value })
      const tooLarge = { statusCode: 413 }
      const larger = new Uint8Array(101)
      yield* refused(one.kVSet({ key: "k", value: larger }), tooLarge)
      yield* refused(one.kVSetWithExpiry({ key: "k", value: larger, expireInSeconds: 1n }), tooLarge)
      yield* refused(one.kVCompareAndSet({ key: "k", oldValue: value, newValue: larger }), tooLarge)
      assert.deepStrictEqual((yield* one.kVGet({ key: "k" })).value, value)

      yield* one.savePluginConfig({ config: { a: "x".repeat(80) } })
      yield* refused(one.savePluginConfig({ config: { a: "x".repeat(101) } }), {
        id: "app.save_config.too_large.app_error",
        statusCode: 413,
      })
      yield* refused(workspace.savePluginConfig("p", { a: Number.NaN }), {
        message: "The request is not as it should be: config.a is not a finite number",
      })
      assert.deepStrictEqual((yield* one.getPluginConfig({})).config, { a: "x".repeat(80) })

      const register = (trigger: string, more = {}) =>
        one.registerCommand({ command: create(CommandSchema, { trigger, ...more }) })
      yield* register("a")
      yield* register("b")
      yield* register("B", { description: "again" })
      yield* refused(register("c"), { id: "api.command.create_command.limit.app_error" })
      yield* one.unregisterCommand({ trigger: "b" })
      yield* refused(register("c", { description: "x".repeat(100_000) }), tooLarge)
      yield* refused(register("c".repeat(129)), { id: "api.command.create_command.trigger.app_error" })
      yield* register("c".repeat(128))
    }).pipe(limited({ keyValue: 100, pluginSettings: 100, commands: 2 })),
  )

  it.effect("has bounds for the settings of all together, and what was there before may stay", () =>
    Effect.gen(function* () {
      const { workspace } = yield* setUp
      const large = { a: "x".repeat(900_000) }
      for (const id of ["a", "b", "c"]) yield* workspace.savePluginConfig(id, large)
      yield* refused(workspace.savePluginConfig("d", large), { id: "app.save_config.too_large.app_error" })
      yield* workspace.savePluginConfig("d", { a: 1 })
      yield* workspace.savePluginConfig("a", {})
    }).pipe(Effect.provide(workspaceLayer)),
  )
})

describe("what a plugin says of what it wants made", () => {
  it.effect("makes nobody an administrator or a bot, and gives nothing an id, a time or a proof", () =>
    Effect.gen(function* () {
      const { channel, me, one, post, team, workspace } = yield* setUp
      const everything = {
        id: "chosen",
        username: "eve",
        email: "eve@example.com",
        roles: "system_admin system_user",
        isBot: true,
        botDescription: "b",
        botLastIconUpdate: 1n,
        createAt: 1n,
        updateAt: 1n,
        deleteAt: 1n,
        password: "p",
        authData: "ldap-id",
        authService: "ldap",
        mfaActive: true,
        mfaSecret: "s",
        failedAttempts: 3,
        lastPasswordUpdate: 1n,
        lastPictureUpdate: 1n,
        lastActivityAt: 1n,
        lastLogin: 1n,
        remoteId: "r",
        termsOfServiceId: "t",
        termsOfServiceCreateAt: 1n,
        emailVerified: true,
        nickname: "n",
        firstName: "f",
        lastName: "l",
        position: "p",
        locale: "de",
        props: { a: "b" },
        notifyProps: { desktop: "all" },
        timezone: { manualTimezone: "Europe/Berlin" },
        allowMarketing: true,
        disableWelcomeEmail: true,
      }
      // Every field there is, so that a new one is decided upon.
      assert.sameMembers(
        Object.keys(everything),
        UserSchema.fields.map(({ localName }) => localName),
      )
      const { user } = yield* one.createUser({ user: create(UserSchema, everything) })
      const stored = yield* workspace.users.get(user!.id!)
      assert.deepInclude(stored, {
        roles: "system_user",
        isBot: false,
        botDescription: "",
        botLastIconUpdate: 0n,
        deleteAt: 0n,
        password: "",
        authService: "",
        mfaActive: false,
        mfaSecret: "",
        failedAttempts: 0,
        lastPasswordUpdate: 0n,
        lastPictureUpdate: 0n,
        lastActivityAt: 0n,
        lastLogin: 0n,
        termsOfServiceId: "",
        termsOfServiceCreateAt: 0n,
        emailVerified: true,
        nickname: "n",
        locale: "de",
        allowMarketing: true,
      })
      assert.notStrictEqual(stored.id, "chosen")
      assert.notStrictEqual(stored.createAt, 1n)
      assert.isUndefined(stored.authData)
      assert.isUndefined(stored.remoteId)
      assert.deepStrictEqual((yield* workspace.users.list({ page: 0, perPage: 9 }, { role: "system_admin" })).length, 1)

      const wanted = { teamId: team.id, type: 1, name: "eves", displayName: "Eve's", creatorId: me.id }
      const { channel: made } = yield* one.createChannel({
        channel: create(ChannelSchema, {
          ...wanted,
          id: "chosen",
          createAt: 1n,
          deleteAt: 1n,
          totalMsgCount: 7n,
          lastPostAt: 7n,
          extraUpdateAt: 7n,
          schemeId: "s",
          shared: true,
          policyId: "p",
          policyEnforced: true,
          policyIsActive: true,
          groupConstrained: true,
          header: "h",
          bannerInfo: { text: "t" },
        }),
      })
      const kept = yield* workspace.channels.get(made!.id!)
      assert.deepInclude(kept, {
        ...wanted,
        deleteAt: 0n,
        totalMsgCount: 0n,
        lastPostAt: 0n,
        extraUpdateAt: 0n,
        policyEnforced: false,
        policyIsActive: false,
        header: "h",
      })
      for (const field of ["schemeId", "shared", "policyId", "groupConstrained"] as const)
        assert.isUndefined(kept[field])
      assert.strictEqual(kept.bannerInfo?.text, "t")
      yield* refused(
        one.createChannel({ channel: create(ChannelSchema, { ...wanted, name: "x", creatorId: "nobody" }) }),
        { id: "app.user.missing_account.const" },
      )

      const { post: posted } = yield* post({
        id: "chosen",
        editAt: 7n,
        deleteAt: 7n,
        replyCount: 7n,
        originalId: "o",
        remoteId: "r",
        hasReactions: true,
        isFollowing: true,
        participants: [{ username: "x" }],
        metadata: { acknowledgements: [{ userId: me.id }], priority: { priority: "urgent" } },
        props: { from_plugin: "false", a: 1 },
        isPinned: true,
        type: "custom_x",
      })
      const read = yield* workspace.posts.get(posted!.id!)
      assert.deepInclude(read, {
        editAt: 0n,
        deleteAt: 0n,
        replyCount: 0n,
        originalId: "",
        hasReactions: false,
        participants: [],
        isPinned: true,
        type: "custom_x",
        channelId: channel.id,
      })
      assert.isUndefined(read.remoteId)
      assert.isUndefined(read.isFollowing)
      assert.deepStrictEqual(read.metadata?.acknowledgements, [])
      assert.strictEqual(read.metadata?.priority?.priority, "urgent")
      assert.deepStrictEqual(read.props, { from_plugin: "true", a: 1 })

      yield* one.registerCommand({
        command: create(CommandSchema, {
          trigger: "x",
          token: "t",
          url: "http://evil",
          creatorId: me.id,
          createAt: 7n,
        }),
      })
      const [command] = (yield* one.listCommands({})).commands ?? []
      assert.deepInclude(command, { trigger: "x", token: "", url: "", creatorId: "", createAt: 0n })
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("marks its own posts and nobody else's, whoever edits them", () =>
    Effect.gen(function* () {
      const { channel, me, one, post, workspace } = yield* setUp
      const { post: plugins } = yield* post({})
      const persons = yield* workspace.createPost({ userId: me.id, channelId: channel.id, message: "m" })
      const props = (id: string) => Effect.map(workspace.posts.get(id), (post) => post.props)
      yield* workspace.updatePost({ id: plugins!.id!, props: { a: 1 } })
      assert.deepStrictEqual(yield* props(plugins!.id!), { a: 1, from_plugin: "true" })
      yield* one.updatePost({ post: create(PostSchema, { id: plugins!.id!, message: "n" }) })
      assert.deepStrictEqual(yield* props(plugins!.id!), { from_plugin: "true" })
      yield* one.updatePost({
        post: create(PostSchema, { id: persons.id, message: "n", props: { from_plugin: "true", b: 2 } }),
      })
      assert.deepStrictEqual(yield* props(persons.id), { b: 2 })
    }).pipe(Effect.provide(workspaceLayer)),
  )
})
