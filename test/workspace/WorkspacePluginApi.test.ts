import { create, fromJson } from "@bufbuild/protobuf"
import { ValueSchema } from "@bufbuild/protobuf/wkt"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Logger, Queue, References, Scope } from "effect"
import { TestClock } from "effect/testing"
import { OnConfigurationChangeResponseSchema } from "../../src/generated/mattermost/pluginapi/v1/hooks_lifecycle_pb.js"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { HookPluginError } from "../../src/hooks/HookError.ts"
import type { HookHandlers } from "../../src/hooks/Hooks.ts"
import { jsonBytes } from "../../src/workspace/ServerConfig.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../../src/workspace/Workspace.ts"
import type { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import type { Manifest } from "../../src/bundle/Manifest.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { SERVER_VERSION, WorkspaceSettings } from "../../src/workspace/WorkspaceSettings.ts"
import { caller, pluginApi, registerPlugin, workspaceLayer } from "./fixture.ts"

const json = (bytes: Uint8Array | undefined): any => JSON.parse(new TextDecoder().decode(bytes))

describe("the host API on a workspace", () => {
  it.effect("tells a plugin who it is and where", () =>
    Effect.gen(function* () {
      const { one, two } = yield* pluginApi
      assert.strictEqual((yield* one.getPluginID({})).pluginId, "com.example.one")
      assert.strictEqual((yield* two.getPluginID({})).pluginId, "com.example.two")
      assert.strictEqual((yield* one.getBundlePath({})).path, caller.bundlePath)
      assert.strictEqual((yield* one.getServerVersion({})).version, SERVER_VERSION)
      assert.match((yield* one.getDiagnosticId({})).diagnosticId ?? "", /^[a-z0-9]{26}$/)
      assert.strictEqual((yield* one.getSystemInstallDate({})).installDate, 0n)
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("says of everything else that it is not implemented", () =>
    Effect.gen(function* () {
      const { one } = yield* pluginApi
      const error = yield* Effect.flip(one.getLicense({}))
      assert.deepInclude(error, { statusCode: 501, id: "api.plugin.not_implemented" })
      assert.deepInclude(yield* Effect.flip(one.getUsers({ inTeamId: "t" })), { statusCode: 501 })
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("tells the plugins that the configuration has changed when one saves its settings", () =>
    Effect.gen(function* () {
      const told = yield* Deferred.make<string>()
      yield* registerPlugin("com.example.two", {
        onConfigurationChange: () =>
          Effect.as(Deferred.succeed(told, "two"), create(OnConfigurationChangeResponseSchema)),
      })
      const { one } = yield* pluginApi
      yield* one.savePluginConfig({ config: { a: 1 } })
      assert.strictEqual(yield* Deferred.await(told), "two")
    }).pipe(Effect.scoped, Effect.provide(workspaceLayer)),
  )

  it.effect("asks the plugins before one saves its settings, and stores what they made of all of them", () =>
    Effect.gen(function* () {
      const { one, two } = yield* pluginApi
      yield* two.savePluginConfig({ config: { Token: "other" } })
      const told = yield* Queue.unbounded<string>()
      const ask = (answer: (config: any) => unknown): HookHandlers<MattermostContract> => ({
        configurationWillBeSaved: ({ newConfig }) =>
          Effect.sync(() => ({ modifiedConfig: { configJson: jsonBytes(answer(json(newConfig?.configJson))) } })),
      })
      yield* registerPlugin(
        "a",
        ask(({ PluginSettings: { Plugins } }) => ({ PluginSettings: { Plugins: { ...Plugins, a: {} } } })),
      )
      const life = yield* Scope.make()
      yield* Scope.provide(
        registerPlugin("b", {
          ...ask((config) => {
            assert.deepStrictEqual(config.PluginSettings.Plugins, {
              "com.example.one": { level: 1 },
              "com.example.two": { Token: "other" },
              a: {},
            })
            return { PluginSettings: { Plugins: { "com.example.one": { level: 2 }, b: { seen: true } } } }
          }),
          onConfigurationChange: () => Effect.as(Queue.offer(told, "changed"), {}),
        }),
        life,
      )
      yield* one.savePluginConfig({ config: { level: 1 } })
      assert.strictEqual(yield* Queue.take(told), "changed")
      assert.deepStrictEqual((yield* one.getPluginConfig({})).config, { level: 2 })
      assert.deepStrictEqual((yield* two.getPluginConfig({})).config, {}, "b has taken it out")
      const all = yield* (yield* Workspace).pluginConfigs.all
      assert.deepStrictEqual(all, { "com.example.one": { level: 2 }, "com.example.two": {}, b: { seen: true } })
      yield* Scope.close(life, Exit.void)

      yield* registerPlugin(
        "c",
        ask(() => ({ PluginSettings: [] })),
      )
      assert.deepInclude(yield* Effect.flip(one.savePluginConfig({ config: { level: 3 } })), {
        id: "app.save_config.plugin_hook_error",
        statusCode: 400,
      })
      yield* registerPlugin("b", {
        configurationWillBeSaved: () =>
          Effect.fail(
            new HookPluginError({
              pluginId: "b",
              hook: "ConfigurationWillBeSaved",
              id: "b.level",
              reason: "no such level",
              statusCode: 400,
              isAnswer: true,
            }),
          ),
      })
      assert.deepInclude(yield* Effect.flip(one.savePluginConfig({ config: { level: 3 } })), {
        id: "app.save_config.plugin_hook_error",
        statusCode: 400,
        message: "Configuration rejected by plugin. no such level",
      })
      assert.deepStrictEqual((yield* one.getPluginConfig({})).config, { level: 2 })
      assert.strictEqual(yield* Queue.size(told), 0)
    }).pipe(Effect.scoped, Effect.provide(workspaceLayer)),
  )

  it.effect("keeps each plugin's settings, and shows a plugin no other's secrets", () =>
    Effect.gen(function* () {
      const { one, two } = yield* pluginApi
      assert.deepStrictEqual((yield* one.getPluginConfig({})).config, {})
      yield* one.savePluginConfig({ config: { Token: "s3cret", list: [1, { a: null }] } })
      yield* two.savePluginConfig({ config: { Token: "other" } })
      assert.deepStrictEqual((yield* one.getPluginConfig({})).config, { Token: "s3cret", list: [1, { a: null }] })
      const config = json((yield* one.getConfig({})).configJson)
      assert.strictEqual(config.ServiceSettings.SiteURL, "https://chat.example.com")
      assert.deepStrictEqual(config.PluginSettings.Plugins, {
        "com.example.one": { Token: "s3cret", list: [1, { a: null }] },
      })
      const unsanitized = json((yield* one.getUnsanitizedConfig({})).configJson)
      assert.deepStrictEqual(Object.keys(unsanitized.PluginSettings.Plugins), ["com.example.one", "com.example.two"])
    }).pipe(
      Effect.provide(
        workspaceLayer.pipe(
          Layer.provide(
            Layer.succeed(WorkspaceSettings, {
              siteUrl: Effect.succeed("https://chat.example.com"),
              serverVersion: SERVER_VERSION,
            }),
          ),
        ),
      ),
    ),
  )

  it.effect("loads a plugin's configuration over its manifest's defaults", () =>
    Effect.gen(function* () {
      const manifest: Manifest = {
        id: caller.pluginId,
        name: "One",
        settings_schema: {
          settings: [
            { key: "Greeting", type: "text", default: "hello" },
            { key: "Level", type: "number", default: 3 },
            { key: "Unset", type: "text" },
          ],
          sections: [{ key: "more", settings: [{ key: "InSection", type: "bool", default: false }] }],
        },
      }
      const api = yield* MattermostPlugins.Api
      const { one } = yield* pluginApi
      yield* one.savePluginConfig({ config: { LEVEL: 7, Extra: "x" } })
      const { configJson } = yield* api.loadPluginConfiguration({} as never, { ...caller, manifest })
      assert.deepStrictEqual(json(configJson), { greeting: "hello", level: 7, insection: false, extra: "x" })
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("writes a plugin's lines to the log, in its own name", () =>
    Effect.gen(function* () {
      const lines: Array<{ level: string; message: unknown; annotations: { readonly [key: string]: unknown } }> = []
      const logger = Logger.make<unknown, void>(({ fiber, logLevel, message }) => {
        lines.push({ level: logLevel, message, annotations: { ...fiber.getRef(References.CurrentLogAnnotations) } })
      })
      const { one } = yield* pluginApi
      const keyValuePairs = [
        { key: "count", value: fromJson(ValueSchema, 3) },
        { key: "deep", value: fromJson(ValueSchema, { a: [true] }) },
        { key: "plugin_id", value: fromJson(ValueSchema, "somebody.else") },
      ] as never
      yield* Effect.gen(function* () {
        yield* one.logDebug({ msg: "d" })
        yield* one.logInfo({ msg: "i", keyValuePairs })
        yield* one.logWarn({ msg: "w" })
        yield* one.logError({ msg: "e" })
      }).pipe(Effect.provide(Logger.layer([logger])), Effect.provideService(References.MinimumLogLevel, "All"))
      assert.deepStrictEqual(
        lines.map(({ level, message }) => [level, message]),
        [
          ["Debug", ["d"]],
          ["Info", ["i"]],
          ["Warn", ["w"]],
          ["Error", ["e"]],
        ],
      )
      assert.deepInclude(lines[1]?.annotations, { count: 3, deep: { a: [true] }, plugin_id: "com.example.one" })
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("runs a plugin's posts through the hooks, marked as a plugin's", () =>
    Effect.gen(function* () {
      const { one } = yield* pluginApi
      const told = yield* Deferred.make<unknown>()
      yield* registerPlugin("watcher", {
        messageWillBePosted: ({ post }) =>
          Effect.succeed({ rejectionReason: post?.message === "bad" ? "not here" : "" } as never),
        messageHasBeenPosted: ({ post }) => Effect.as(Deferred.succeed(told, post?.message), {} as never),
      })
      const { user } = yield* one.getUserByUsername({ name: "admin" })
      const { team } = yield* one.getTeamByName({ name: TEAM_NAME })
      const { channel } = yield* one.getChannelByName({ teamId: team!.id!, name: CHANNEL_NAME })
      const draft = { userId: user!.id!, channelId: channel!.id! }
      const { post } = yield* one.createPost({ post: create(PostSchema, { ...draft, message: "m", props: { a: 1 } }) })
      assert.deepStrictEqual(post?.props, { a: 1, from_plugin: "true" })
      assert.strictEqual(yield* Deferred.await(told), "m")
      const rejected = yield* Effect.flip(one.createPost({ post: create(PostSchema, { ...draft, message: "bad" }) }))
      assert.deepInclude(rejected, { statusCode: 400, message: "Post rejected by plugin. not here" })
      assert.deepInclude(yield* Effect.flip(one.createPost({})), { statusCode: 400 })

      const found = yield* one.getPost({ postId: post!.id! })
      yield* one.updatePost({ post: create(PostSchema, { ...(found.post as object), message: "changed" }) })
      assert.strictEqual((yield* one.getPost({ postId: post!.id! })).post?.message, "changed")
      const list = yield* one.getPostsForChannel({ channelId: channel!.id!, page: 0, perPage: 10 })
      assert.deepStrictEqual(list.postList?.order, [post!.id!])
      yield* TestClock.setTime(1000)
      yield* one.deletePost({ postId: post!.id! })
      assert.deepInclude(yield* Effect.flip(one.getPost({ postId: post!.id! })), {
        id: "app.post.get.app_error",
        statusCode: 404,
      })
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("finds users", () =>
    Effect.gen(function* () {
      const { one } = yield* pluginApi
      const workspace = yield* Workspace
      const bob = yield* workspace.createUser({ username: "bob", email: "bob@example.com" })
      const names = (request: object) =>
        Effect.map(one.getUsers({ page: 0, perPage: 10, ...request }), ({ users }) =>
          users?.map(({ username }) => username),
        )
      assert.deepStrictEqual(yield* names({}), ["admin", "bob"])
      assert.deepStrictEqual(yield* names({ role: "system_admin" }), ["admin"])
      assert.deepStrictEqual(yield* names({ active: true, page: 1, perPage: 1 }), ["bob"])
      assert.deepStrictEqual(yield* names({ inactive: true }), [])
      assert.strictEqual((yield* one.getUser({ userId: bob.id })).user?.username, "bob")
      assert.strictEqual((yield* one.getUserByEmail({ email: "bob@example.com" })).user?.id, bob.id)
      const { users } = yield* one.getUsersByIds({ userIds: [bob.id, "nobody"] })
      assert.deepStrictEqual(
        users?.map(({ id }) => id),
        [bob.id],
      )
      assert.deepInclude(yield* Effect.flip(one.getUser({ userId: "nobody" })), {
        id: "app.user.missing_account.const",
        statusCode: 404,
      })
    }).pipe(Effect.provide(workspaceLayer)),
  )
})
