/** A database that a version before the checks has written: what can't be read in there takes nothing with it. */
import { join } from "node:path"
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { ChannelSchema, ChannelType } from "../../src/generated/mattermost/pluginapi/v1/channel_pb.js"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { TeamSchema } from "../../src/generated/mattermost/pluginapi/v1/team_pb.js"
import { UserSchema } from "../../src/generated/mattermost/pluginapi/v1/user_pb.js"
import { layerNodeSqlite } from "../../src/storage/NodeSqlite.ts"
import { setIfUnchanged } from "../../src/workspace/KeyValueStore.ts"
import { Workspace } from "../../src/workspace/Workspace.ts"
import { DATABASE_FILE } from "../../src/workspace/WorkspaceDatabase.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { workspaceMigrations } from "../../src/workspace/WorkspaceMigrations.ts"
import { temporaryFolder } from "../support/folder.ts"
import { recordLog } from "../support/log.ts"

const nested = (levels: number): object => {
  let made: object = { a: "x" }
  for (let level = 1; level < levels; level++) made = { a: made }
  return made
}

/** Posts that a version without the checks took, by their ids. */
const BAD_POSTS: { readonly [id: string]: MessageInitShape<typeof PostSchema> | Uint8Array } = {
  nanoseconds: { createAt: 2n ** 60n },
  notanumber: { props: { a: Number.NaN } },
  // Python's protobuf reads the one no more, the other is read by nobody.
  deep: { props: nested(40) as never },
  deeper: { props: nested(60) as never },
  huge: { props: { a: "x".repeat(3_000_000) } },
  garbage: new Uint8Array([0xff, 1, 2]),
}

const write = (directory: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [first] = Object.keys(workspaceMigrations) as ["0001_workspace"]
    yield* Migrator.make({})({
      loader: Migrator.fromRecord({ [first]: workspaceMigrations[first] }),
      table: "workspace_migrations",
    })
    const bytes = <D extends DescMessage>(desc: D, init: MessageInitShape<D>) => toBinary(desc, create(desc, init))

    yield* sql`INSERT INTO system ${sql.insert([
      { name: "install_date", value: "1" },
      { name: "diagnostic_id", value: "d" },
      { name: "admin_id", value: "me" },
    ])}`
    const user = (id: string, message: Uint8Array) =>
      sql`INSERT INTO users ${sql.insert({ id, username: id, email: `${id}@x`, delete_at: 0, message })}`
    yield* user("me", bytes(UserSchema, { id: "me", username: "me" }))
    yield* user("odd", bytes(UserSchema, { id: "odd", lastLogin: 2n ** 60n }))
    const team = (id: string, message: Uint8Array) => sql`INSERT INTO teams ${sql.insert({ id, name: id, message })}`
    yield* team("team", bytes(TeamSchema, { id: "team", name: "team" }))
    yield* team("oddteam", new Uint8Array([0xff]))
    const channel = (id: string, message: Uint8Array, lastPostAt: bigint) =>
      sql`INSERT INTO channels ${sql.insert({
        id,
        team_id: "team",
        name: id,
        type: ChannelType.OPEN,
        display_name: id,
        delete_at: 0,
        last_post_at: lastPostAt,
        last_root_post_at: lastPostAt,
        message,
      })}`
    const channelOf = (id: string) => bytes(ChannelSchema, { id, teamId: "team", name: id, type: ChannelType.OPEN })
    yield* channel("channel", channelOf("channel"), 2n ** 60n)
    yield* channel("other", channelOf("other"), 5n)
    yield* channel("oddchannel", new Uint8Array([0xff]), 2n ** 62n)

    const post = (id: string, rootId: string, createAt: bigint, message: Uint8Array) =>
      sql`INSERT INTO posts ${sql.insert({
        id,
        channel_id: "channel",
        user_id: "me",
        root_id: rootId,
        create_at: createAt,
        update_at: 10,
        delete_at: 0,
        message,
      })}`
    const postOf = (init: MessageInitShape<typeof PostSchema>) =>
      bytes(PostSchema, { userId: "me", channelId: "channel", message: "m", updateAt: 10n, ...init })
    yield* post("root", "", 7n, postOf({ id: "root", createAt: 7n }))
    yield* post("reply", "root", 8n, postOf({ id: "reply", createAt: 8n, rootId: "root" }))
    for (const [id, init] of Object.entries(BAD_POSTS)) {
      const message = init instanceof Uint8Array ? init : postOf({ id, rootId: "root", createAt: 9n, ...init })
      yield* post(id, "root", id === "nanoseconds" ? 2n ** 60n : 9n, message)
    }
    const configs = { p: '{"a":1}', broken: "{", odd: JSON.stringify({ a: nested(60) }) }
    for (const [id, config] of Object.entries(configs)) {
      yield* sql`INSERT INTO plugin_configs ${sql.insert({ plugin_id: id, config })}`
    }
    const values = { large: new Uint8Array(9_000_000), small: new Uint8Array([1]) }
    for (const [key, value] of Object.entries(values)) {
      yield* sql`INSERT INTO plugin_key_values ${sql.insert({ plugin_id: "p", key, value })}`
    }
  }).pipe(Effect.provide(Layer.fresh(layerNodeSqlite(join(directory, DATABASE_FILE)))))

describe("a database of a version without the checks", () => {
  it.effect("is opened, and what can't be read in it is left out and named once", () => {
    const log = recordLog()
    return Effect.gen(function* () {
      const directory = yield* temporaryFolder
      yield* write(directory)
      yield* TestClock.setTime(1000)
      yield* Effect.gen(function* () {
        const { channels, keyValues, me, pluginConfigs, posts, savePluginConfig, teams, users, ...workspace } =
          yield* Workspace
        const page = { page: 0, perPage: 100 }
        const unreadable = { id: "app.workspace.unreadable.app_error", statusCode: 500 }

        assert.strictEqual((yield* me).id, "me")
        assert.deepStrictEqual(
          (yield* users.list(page)).map(({ id }) => id),
          ["me"],
        )
        assert.deepInclude(yield* Effect.flip(users.get("odd")), unreadable)
        assert.deepStrictEqual(
          (yield* teams.list).map(({ id }) => id),
          ["team"],
        )
        const listed = yield* channels.list(page)
        assert.deepStrictEqual(
          listed.map(({ id, lastPostAt, lastRootPostAt }) => [id, lastPostAt, lastRootPostAt]),
          [
            ["channel", 9n, 7n],
            ["other", 5n, 5n],
          ],
        )

        for (let round = 0; round < 3; round++) {
          assert.deepStrictEqual((yield* posts.forChannel("channel", page)).order, ["reply", "root"])
          assert.deepStrictEqual((yield* posts.since("channel", 1)).order, ["reply", "root"])
          assert.deepStrictEqual((yield* posts.thread("root")).order, ["reply", "root"])
        }
        // Pages are counted as they are in the database.
        const small = { page: 0, perPage: 1 }
        const first = yield* posts.forChannel("channel", small)
        assert.deepStrictEqual([first.order, first.hasNext], [[], true])
        assert.deepInclude(yield* posts.get("root"), { replyCount: 7n, lastReplyAt: 9n })
        for (const id of Object.keys(BAD_POSTS)) assert.deepInclude(yield* Effect.flip(posts.get(id)), unreadable)

        assert.deepStrictEqual(yield* pluginConfigs.all, { p: { a: 1 } })
        assert.deepInclude(yield* Effect.flip(pluginConfigs.get("odd")), unreadable)
        yield* savePluginConfig("broken", { a: 2 })
        assert.deepStrictEqual(yield* pluginConfigs.all, { p: { a: 1 }, broken: { a: 2 } })
        assert.deepInclude(yield* Effect.flip(keyValues.get("p", "large")), { statusCode: 413 })
        assert.deepStrictEqual([...(yield* keyValues.get("p", "small"))], [1])
        assert.isTrue(yield* keyValues.set("p", "small", new Uint8Array([2]), setIfUnchanged(new Uint8Array([1]))))
        assert.deepStrictEqual(yield* keyValues.list("p", 0, 10), ["large", "small"])

        // New things are made beside them; and what can't be read goes with the root of its thread.
        const made = yield* workspace.createPost({ userId: "me", channelId: "channel", message: "new" })
        assert.deepStrictEqual((yield* posts.forChannel("channel", page)).order, [made.id, "reply", "root"])
        yield* workspace.deletePost("root")
        assert.deepStrictEqual((yield* posts.forChannel("channel", page)).order, [made.id])
        assert.deepInclude(yield* Effect.flip(posts.get("garbage")), { statusCode: 404 })
      }).pipe(Effect.provide(Layer.fresh(Workspace.layerIn(directory)).pipe(Layer.provide(MattermostPlugins.layer))))
      const told = log.messages().filter((message) => message.includes("can't be read and is left out"))
      for (const id of [...Object.keys(BAD_POSTS), "odd", "oddteam", "oddchannel", "broken"]) {
        const times = told.filter((message) => message.includes(` ${id} `)).length
        assert.strictEqual(times, id === "odd" ? 2 : 1, `${id}: ${told.join("\n")}`)
      }
      assert.isTrue(told.every((message) => message.length < 1000))
    }).pipe(Effect.scoped, Effect.provide(log.layer))
  })
})
