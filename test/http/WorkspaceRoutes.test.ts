import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { AccessToken } from "../../src/http/AccessToken.ts"
import { WorkspaceRoutes } from "../../src/http/WorkspaceRoutes.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { DISMISS_POST_REASON } from "../../src/mattermost/Dismissal.ts"
import { Workspace } from "../../src/workspace/Workspace.ts"
import { registerPlugin } from "../workspace/fixture.ts"

const TOKEN = "the-token"

const served = HttpRouter.serve(WorkspaceRoutes, { disableLogger: true, disableListenLog: true }).pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
  Layer.provide(Layer.succeed(AccessToken, AccessToken.make(Redacted.make(TOKEN)))),
  Layer.provideMerge(Workspace.layerTest),
  Layer.provideMerge(MattermostPlugins.layer),
)

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: any
}

/** Sends real requests to the real server. */
const client = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  const origin = `http://127.0.0.1:${(address as { readonly port: number }).port}`
  const send = (method: string, path: string, body?: unknown, headers: { readonly [name: string]: string } = {}) =>
    Effect.promise(async (): Promise<Answer> => {
      const response = await fetch(`${origin}${path}`, {
        method,
        headers: { authorization: `Bearer ${TOKEN}`, ...headers },
        body: body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body),
      })
      return { status: response.status, headers: response.headers, body: await response.json() }
    })
  const channel = (yield* send("GET", "/api/v4/channels/name/town-square")).body
  return { send, channelId: channel.id as string }
})

const expectError = (answer: Answer, status: number, id: string) => {
  assert.strictEqual(answer.status, status)
  assert.deepStrictEqual(Object.keys(answer.body).sort(), [
    "detailed_error",
    "id",
    "message",
    "request_id",
    "status_code",
  ])
  assert.deepInclude(answer.body, { id, status_code: status })
  assert.match(answer.body.request_id, /^[a-z0-9]{26}$/)
  assert.strictEqual(answer.headers.get("x-request-id"), answer.body.request_id)
}

describe("authorization", () => {
  it.live("needs the token, in the header", () =>
    Effect.gen(function* () {
      const { send } = yield* client
      for (const authorization of ["", "Bearer ", "Bearer wrong", `Bearer ${TOKEN}x`, TOKEN, `Basic ${TOKEN}`]) {
        const answer = yield* send("GET", "/api/v4/users/me", undefined, { authorization })
        expectError(answer, 401, "api.context.session_expired.app_error")
        assert.strictEqual(answer.headers.get("www-authenticate"), "Bearer")
      }
      const elsewhere = yield* send("GET", `/api/v4/users/me?access_token=${TOKEN}`, undefined, {
        authorization: "",
        cookie: `MMAUTHTOKEN=${TOKEN}`,
      })
      assert.strictEqual(elsewhere.status, 401)
      assert.strictEqual((yield* send("POST", "/api/v4/posts", {}, { authorization: "" })).status, 401)
      assert.strictEqual((yield* send("GET", "/api/v4/nothing", undefined, { authorization: "" })).status, 401)
      const me = yield* send("GET", "/api/v4/users/me")
      assert.strictEqual(me.status, 200)
      assert.strictEqual(me.body.username, "admin")
    }).pipe(Effect.provide(served)),
  )
})

describe("posts", () => {
  it.live("are made, read, changed, listed and deleted", () =>
    Effect.gen(function* () {
      const { channelId, send } = yield* client
      const me = (yield* send("GET", "/api/v4/users/me")).body
      const started = Date.now()
      const made = yield* send("POST", "/api/v4/posts", {
        channel_id: channelId,
        message: "héllo 𝒌",
        props: { attachments: [{ text: "a", fields: [1, null, true] }] },
        file_ids: null,
        unknown: "ignored",
      })
      assert.strictEqual(made.status, 201)
      const post = made.body
      assert.deepInclude(post, {
        channel_id: channelId,
        user_id: me.id,
        message: "héllo 𝒌",
        root_id: "",
        original_id: "",
        type: "",
        hashtags: "",
        pending_post_id: "",
        edit_at: 0,
        delete_at: 0,
        reply_count: 0,
        last_reply_at: 0,
        is_pinned: false,
        has_reactions: false,
      })
      assert.deepStrictEqual(post.props, { attachments: [{ text: "a", fields: [1, null, true] }] })
      assert.deepStrictEqual(post.metadata, {})
      assert.deepStrictEqual(post.file_ids, [])
      assert.isNumber(post.create_at)
      assert.isAtLeast(post.create_at, started)
      assert.strictEqual(post.update_at, post.create_at)
      assert.notProperty(post, "remote_id")
      assert.notProperty(post, "$typeName")

      assert.deepStrictEqual((yield* send("GET", `/api/v4/posts/${post.id}`)).body, post)
      const reply = yield* send("POST", "/api/v4/posts", { channel_id: channelId, message: "r", root_id: post.id })
      assert.strictEqual(reply.body.root_id, post.id)
      assert.deepStrictEqual(reply.body.props, {})

      const changed = yield* send("PUT", `/api/v4/posts/${post.id}`, { id: post.id, message: "new", is_pinned: true })
      assert.strictEqual(changed.status, 200)
      assert.deepInclude(changed.body, { message: "new", is_pinned: true, reply_count: 1 })
      assert.deepStrictEqual(changed.body.props, post.props)
      assert.isAtLeast(changed.body.edit_at, post.create_at)

      const list = yield* send("GET", `/api/v4/channels/${channelId}/posts?per_page=1`)
      assert.deepStrictEqual(list.body.order, [reply.body.id])
      assert.deepStrictEqual(Object.keys(list.body.posts), [reply.body.id])
      assert.deepStrictEqual(list.body.posts[reply.body.id].metadata, {})
      assert.deepInclude(list.body, { has_next: true, next_post_id: "", prev_post_id: "" })
      const before = yield* send("GET", `/api/v4/channels/${channelId}/posts?before=${reply.body.id}`)
      assert.deepStrictEqual(before.body.order, [post.id])
      const after = yield* send("GET", `/api/v4/channels/${channelId}/posts?after=${post.id}`)
      assert.deepStrictEqual(after.body.order, [reply.body.id])

      const deleted = yield* send("DELETE", `/api/v4/posts/${post.id}`)
      assert.deepStrictEqual([deleted.status, deleted.body], [200, { status: "OK" }])
      expectError(yield* send("GET", `/api/v4/posts/${post.id}`), 404, "app.post.get.app_error")
      expectError(yield* send("DELETE", `/api/v4/posts/${post.id}`), 404, "app.post.get.app_error")
      assert.deepStrictEqual((yield* send("GET", `/api/v4/channels/${channelId}/posts`)).body.order, [])
      const since = yield* send("GET", `/api/v4/channels/${channelId}/posts?since=${post.create_at - 1}`)
      assert.sameMembers(since.body.order, [post.id, reply.body.id])
    }).pipe(Effect.provide(served)),
  )

  it.live("are refused when they are wrong", () =>
    Effect.gen(function* () {
      const { channelId, send } = yield* client
      const body = "api.context.invalid_body_param.app_error"
      expectError(yield* send("POST", "/api/v4/posts", "{not json"), 400, body)
      expectError(yield* send("POST", "/api/v4/posts"), 400, body)
      expectError(yield* send("POST", "/api/v4/posts", []), 400, body)
      expectError(yield* send("POST", "/api/v4/posts", { message: "m" }), 400, body)
      expectError(yield* send("POST", "/api/v4/posts", { channel_id: channelId, message: 7 }), 400, body)
      expectError(yield* send("POST", "/api/v4/posts", { channel_id: channelId, message: "m", props: "p" }), 400, body)
      expectError(
        yield* send("POST", "/api/v4/posts", { channel_id: channelId, message: "" }),
        400,
        "api.post.create_post.empty.app_error",
      )
      expectError(
        yield* send("POST", "/api/v4/posts", { channel_id: channelId, message: "x".repeat(16384) }),
        400,
        "model.post.is_valid.message_length.app_error",
      )
      expectError(
        yield* send("POST", "/api/v4/posts", { channel_id: "nowhere", message: "m" }),
        404,
        "app.channel.get.existing.app_error",
      )
      expectError(
        yield* send("POST", "/api/v4/posts", {
          channel_id: channelId,
          message: "m",
          props: { x: "x".repeat(2 ** 20) },
        }),
        413,
        "api.context.request_body_too_large.app_error",
      )
      expectError(yield* send("PUT", "/api/v4/posts/nothing", { message: "m" }), 404, "app.post.get.app_error")
      const { id } = (yield* send("POST", "/api/v4/posts", { channel_id: channelId, message: "m" })).body
      expectError(yield* send("PUT", `/api/v4/posts/${id}`, { id: "other", message: "m" }), 400, body)
      expectError(yield* send("PUT", `/api/v4/posts/${id}`, {}), 400, body)
      expectError(yield* send("GET", `/api/v4/channels/${channelId}/posts?page=-1`), 400, body)
      expectError(yield* send("GET", `/api/v4/channels/${channelId}/posts?per_page=x`), 400, body)
      expectError(yield* send("GET", "/api/v4/channels/nowhere/posts"), 404, "app.channel.get.existing.app_error")
    }).pipe(Effect.provide(served)),
  )

  it.live("go through the plugins", () =>
    Effect.gen(function* () {
      const { channelId, send } = yield* client
      const told = yield* Deferred.make<any>()
      yield* registerPlugin("p", {
        messageWillBePosted: ({ post }) =>
          Effect.succeed(
            (post?.message === "bad"
              ? { rejectionReason: "no bad words" }
              : post?.message === "noise"
                ? { rejectionReason: DISMISS_POST_REASON }
                : { rejectionReason: "", modifiedPost: { ...post, message: `${post?.message}!` } }) as never,
          ),
        messageHasBeenPosted: (request) => Effect.as(Deferred.succeed(told, request), {} as never),
      })
      const post = (message: string) =>
        send("POST", "/api/v4/posts", { channel_id: channelId, message }, { "user-agent": "test-client" })
      const vetoed = yield* post("bad")
      expectError(vetoed, 400, "api.post.rejected_by_plugin.app_error")
      assert.strictEqual(vetoed.body.message, "Post rejected by plugin. no bad words")
      expectError(yield* post("noise"), 400, DISMISS_POST_REASON)
      const made = yield* post("good")
      assert.deepInclude(made, { status: 201 })
      assert.strictEqual(made.body.message, "good!")
      const { pluginContext, post: stored } = yield* Deferred.await(told)
      assert.deepInclude(stored, { message: "good!", id: made.body.id })
      assert.deepInclude(pluginContext, {
        requestId: made.headers.get("x-request-id"),
        userAgent: "test-client",
        ipAddress: "127.0.0.1",
      })
      assert.strictEqual((yield* send("GET", `/api/v4/channels/${channelId}/posts`)).body.order.length, 1)
    }).pipe(Effect.provide(served)),
  )
})

describe("users and channels", () => {
  it.live("are read", () =>
    Effect.gen(function* () {
      const { channelId, send } = yield* client
      const me = (yield* send("GET", "/api/v4/users/me")).body
      assert.deepStrictEqual((yield* send("GET", `/api/v4/users/${me.id}`)).body, me)
      for (const secret of ["password", "auth_data", "mfa_secret"]) assert.notProperty(me, secret)
      assert.deepInclude(me, { roles: "system_admin system_user", delete_at: 0, is_bot: false, nickname: "" })

      const channel = (yield* send("GET", `/api/v4/channels/${channelId}`)).body
      assert.deepInclude(channel, {
        name: "town-square",
        display_name: "Town Square",
        type: "O",
        creator_id: me.id,
        total_msg_count: 0,
        last_post_at: 0,
      })
      assert.deepStrictEqual((yield* send("GET", "/api/v4/channels")).body, [channel])
      assert.deepStrictEqual((yield* send("GET", "/api/v4/channels?page=1")).body, [])
      assert.deepStrictEqual((yield* send("GET", "/api/v4/teams/name/main/channels/name/town-square")).body, channel)
      const missing: ReadonlyArray<readonly [path: string, id: string]> = [
        ["/users/nobody", "app.user.missing_account.const"],
        ["/channels/nowhere", "app.channel.get.existing.app_error"],
        ["/channels/name/nowhere", "app.channel.get_by_name.missing.app_error"],
        ["/teams/name/nobody/channels/name/town-square", "app.team.get_by_name.missing.app_error"],
        ["/nothing/here", "api.context.404.app_error"],
      ]
      for (const [path, id] of missing) expectError(yield* send("GET", `/api/v4${path}`), 404, id)
      expectError(yield* send("PATCH", "/api/v4/posts/x", {}), 404, "api.context.404.app_error")
    }).pipe(Effect.provide(served)),
  )
})
