/**
 * Whatever goes wrong behind the host's routes, or before them, is answered in one form, and in the log if it is the
 * host's.
 */
import { createServer, type ServerResponse } from "node:http"
import { connect } from "node:net"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Redacted, SubscriptionRef } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { PluginApiError } from "../../src/api/PluginApi.ts"
import { CommandSchema } from "../../src/generated/mattermost/pluginapi/v1/api_command_pb.js"
import { HookPluginError } from "../../src/hooks/HookError.ts"
import { AccessToken } from "../../src/http/AccessToken.ts"
import * as AdminRoutes from "../../src/http/AdminRoutes.ts"
import { HttpAuthorization } from "../../src/http/HttpAuthorization.ts"
import { HttpFailures } from "../../src/http/HttpFailures.ts"
import { MetricsRoutes } from "../../src/http/MetricsRoutes.ts"
import { WorkspaceRoutes } from "../../src/http/WorkspaceRoutes.ts"
import { NOT_RUNNING, type PluginState } from "../../src/supervisor/PluginLife.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { Workspace } from "../../src/workspace/Workspace.ts"
import { create } from "@bufbuild/protobuf"
import { recordLog } from "../support/log.ts"
import { registerPlugin } from "../workspace/fixture.ts"

const TOKEN = "the-token"

/** An answer that breaks off, and others that fail in ways that a handler may fail in. */
const broken = (gone: Deferred.Deferred<void>) =>
  Layer.mergeAll(
    HttpRouter.add("GET", "/dies", Effect.die(new Error("the secret cause"))),
    HttpRouter.add(
      "GET",
      "/throws",
      Effect.sync(() => {
        throw new Error("thrown")
      }),
    ),
    HttpRouter.add("GET", "/fails", Effect.orDie(Effect.fail({ anything: "at all" }))),
    HttpRouter.add("GET", "/says", Effect.die(HttpServerResponse.text("a teapot", { status: 418 }))),
    HttpRouter.add(
      "GET",
      "/half",
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        const outgoing = NodeHttpServerRequest.toServerResponse(request) as ServerResponse
        outgoing.writeHead(200, { "content-length": "10" })
        yield* Effect.promise(() => new Promise((resolve) => outgoing.write("half", resolve)))
        return yield* Effect.die(new Error("broken off"))
      }),
    ),
    HttpRouter.add("GET", "/waits", Effect.ensuring(Effect.never, Deferred.succeed(gone, undefined))),
    HttpRouter.add("GET", "/status/:status", (request) =>
      Effect.fail(new PluginApiError({ id: "app.x", message: "no", statusCode: Number(request.url.split("/")[2]) })),
    ).pipe(Layer.provide(HttpAuthorization.layer)),
  )

const plugins = Layer.unwrap(
  Effect.map(SubscriptionRef.make<PluginState>(NOT_RUNNING), (state) =>
    MattermostPlugins.layerEnvironmentTest([
      {
        bundle: { directory: "/p", manifest: { id: "p", name: "P" } },
        state,
        run: Effect.die(new Error("no state")),
        start: Effect.never,
        stop: Effect.void,
        reload: Effect.never,
        replace: () => Effect.never,
      },
    ]),
  ),
)

const served = (gone = Deferred.makeUnsafe<void>()) =>
  HttpRouter.serve(
    Layer.mergeAll(WorkspaceRoutes, AdminRoutes.layer(MattermostPlugins), MetricsRoutes, broken(gone)).pipe(
      Layer.provide(HttpFailures),
    ),
    { disableLogger: true, disableListenLog: true },
  ).pipe(
    Layer.provide(plugins),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
    Layer.provide(Layer.succeed(AccessToken, AccessToken.make(Redacted.make(TOKEN)))),
    Layer.provideMerge(Workspace.layerTest),
    Layer.provideMerge(MattermostPlugins.layer),
  )

const client = Effect.map(HttpServer.HttpServer, ({ address }) => {
  const { port } = address as { readonly port: number }
  const send = (method: string, path: string, body?: string, headers: { readonly [name: string]: string } = {}) =>
    Effect.promise(async () => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        headers: { authorization: `Bearer ${TOKEN}`, ...headers },
        body: body ?? null,
      })
      return { status: response.status, headers: response.headers, text: await response.text() }
    })
  return { port, send }
})

type Answer = Effect.Success<ReturnType<Effect.Success<typeof client>["send"]>>

const expectError = ({ headers, status, text }: Answer, expected: number, id: string, message?: string | RegExp) => {
  assert.strictEqual(status, expected, text)
  assert.match(headers.get("content-type") ?? "", /json/)
  const body = JSON.parse(text)
  assert.deepInclude(body, { id, status_code: expected, detailed_error: "" })
  assert.match(body.request_id, /^[a-z0-9]{26}$/)
  assert.strictEqual(headers.get("x-request-id"), body.request_id)
  if (message !== undefined) assert.match(body.message, new RegExp(message))
}

describe("a request that fails", () => {
  it.live("is answered in one form, and logged with its cause when nobody foresaw it", () => {
    const log = recordLog()
    return Effect.gen(function* () {
      const { send } = yield* client
      const failures = [
        yield* send("GET", "/dies"),
        yield* send("GET", "/throws"),
        yield* send("GET", "/fails"),
        yield* send("GET", "/api/v4/plugins/statuses?access_token=secret"),
      ]
      for (const answer of failures) {
        expectError(answer, 500, "app.host.internal.app_error", "see its log")
        assert.notInclude(answer.text, "secret")
      }
      const logged = log.entries.filter(({ level }) => level === "Error").map(({ message }) => message)
      assert.deepStrictEqual(
        logged.map((message) => message.split(":")[0]),
        ["GET /dies", "GET /throws", "GET /fails", "GET /api/v4/plugins/statuses"],
      )
      assert.notInclude(logged.join(), "access_token")
      assert.deepInclude(yield* send("GET", "/says"), { status: 418, text: "a teapot" })
      assert.strictEqual((yield* send("GET", "/api/v4/users/me")).status, 200)
    }).pipe(Effect.provide(served()), Effect.provide(log.layer))
  })

  it.live("has a status that is an error's", () =>
    Effect.gen(function* () {
      const { send } = yield* client
      for (const status of [200, 204, 304, 99, 199, 600, -1, 0]) {
        expectError(yield* send("GET", `/status/${status}`), 500, "app.x", "no")
      }
      for (const status of [400, 418, 503, 599]) expectError(yield* send("GET", `/status/${status}`), status, "app.x")
    }).pipe(Effect.provide(served())),
  )

  it.live("with a plugin's error has a status that is an error's", () =>
    Effect.gen(function* () {
      const { send } = yield* client
      const workspace = yield* Workspace
      yield* workspace.commands.register("p", create(CommandSchema, { trigger: "x" }))
      yield* registerPlugin("p", {
        executeCommand: ({ args }) =>
          Effect.fail(
            new HookPluginError({
              pluginId: "p",
              hook: "ExecuteCommand",
              id: "p.error",
              reason: "the plugin's words",
              statusCode: Number(args!.command.split(" ")[1]),
              isAnswer: true,
            }),
          ),
      })
      const { id } = JSON.parse((yield* send("GET", "/api/v4/channels/name/town-square")).text)
      for (const [status, expected] of [
        [200, 500],
        [204, 500],
        [304, 500],
        [-1, 500],
        [600, 500],
        [409, 409],
      ] as const) {
        const body = JSON.stringify({ channel_id: id, command: `/x ${status}` })
        expectError(yield* send("POST", "/api/v4/commands/execute", body), expected, "p.error", "the plugin's words")
      }
    }).pipe(Effect.scoped, Effect.provide(served())),
  )

  it.live("in the middle of its answer does not look complete", () =>
    Effect.gen(function* () {
      const { port, send } = yield* client
      const received = yield* Effect.promise(
        () =>
          new Promise<string>((resolve) => {
            let text = ""
            const socket = connect(port, "127.0.0.1", () => socket.write("GET /half HTTP/1.1\r\nHost: x\r\n\r\n"))
            socket.on("data", (chunk) => (text += String(chunk)))
            socket.on("error", () => {})
            socket.on("close", () => resolve(text))
          }),
      )
      assert.match(received, /^HTTP\/1\.1 200 OK[^]*\r\n\r\nhalf$/)
      assert.strictEqual((yield* send("GET", "/says")).status, 418)
    }).pipe(Effect.provide(served())),
  )

  it.live("because its client has gone is nobody's failure", () => {
    const log = recordLog()
    const gone = Deferred.makeUnsafe<void>()
    return Effect.gen(function* () {
      const { port } = yield* client
      yield* Effect.callback<void>((resume) => {
        const socket = connect(port, "127.0.0.1", () =>
          socket.write("GET /waits HTTP/1.1\r\nHost: x\r\n\r\n", () => setTimeout(() => socket.destroy(), 50)),
        )
        socket.on("close", () => resume(Effect.void))
      })
      yield* Deferred.await(gone)
      assert.deepStrictEqual(
        log.entries.filter(({ level }) => level === "Error"),
        [],
      )
    }).pipe(Effect.provide(served(gone)), Effect.provide(log.layer))
  })
})

describe("a request for what there is not", () => {
  it.live("is a 404 in the same form, wherever it is, and a path that is none a 400", () =>
    Effect.gen(function* () {
      const { send } = yield* client
      const missing: ReadonlyArray<readonly [method: string, path: string]> = [
        ["GET", "/"],
        ["GET", "/nothing/here?access_token=x"],
        ["POST", "/metrics"],
        ["POST", "/dies"],
        ["GET", "/api/v5/users/me"],
        ["DELETE", "/api/v4/plugins/by-hand/nothing"],
        ["PATCH", "/api/v4/posts/x"],
        ["GET", `/api/v4/users/${"x".repeat(500)}`],
        ["GET", `/${"%C3%A9".repeat(500)}`],
      ]
      for (const [method, path] of missing) {
        const answer = yield* send(method, path)
        expectError(answer, 404, "api.context.404.app_error", method)
        assert.notInclude(answer.text, "access_token")
      }
      for (const path of ["/%ZZ", "/api/v4/users/%E9", "/%"]) {
        expectError(yield* send("GET", path), 400, "api.context.invalid_url_param.app_error")
      }
      assert.strictEqual((yield* send("GET", "/api/v4/posts/x?page=%ZZ")).status, 404)
      expectError(
        yield* send("GET", "/metrics", undefined, { authorization: "" }),
        401,
        "api.context.session_expired.app_error",
      )
    }).pipe(Effect.provide(served())),
  )
})

describe("a body that could not be sent on", () => {
  it.live("is refused, by the field's name, before anything else looks at it", () =>
    Effect.gen(function* () {
      const { send } = yield* client
      const { id } = JSON.parse((yield* send("GET", "/api/v4/channels/name/town-square")).text)
      const post = (rest: string) => send("POST", "/api/v4/posts", `{"channel_id":"${id}","message":"m",${rest}}`)
      const nested = (levels: number) => `${'{"a":'.repeat(levels)}"x"${"}".repeat(levels)}`
      const body = "api.context.invalid_body_param.app_error"
      const cases: ReadonlyArray<readonly [rest: string, message: RegExp]> = [
        [String.raw`"pending_post_id":"half \ud83d"`, /pending_post_id is not well-formed Unicode/],
        [String.raw`"props":{"a":["\udc00"]}`, /props\.a\[0\] is not well-formed/],
        [String.raw`"props":{"\ud83d":1}`, /props\.\ufffd has a key/],
        [`"props":${nested(36)}`, /props\.a\.a.* is nested too deeply/],
        [`"props":${nested(3000)}`, /props\.a\.a.* is nested too deeply/],
        [`"props":{"a":${"[".repeat(400_000)}${"]".repeat(400_000)}}`, /is nested too deeply/],
        [`"props":{"a":1e999}`, /props\.a is not a finite number/],
        [`"props":{"a":[${"1,".repeat(200_000)}1]}`, /props\.a\[\d+\] goes beyond the 100000 values/],
        [`"unknown":[${nested(100)}]`, /unknown\[0\]\.a/],
        [`"file_ids":[${'"f",'.repeat(400)}"f"]`, /file_ids/],
        [`"props":[1]`, /props/],
      ]
      for (const [rest, message] of cases) {
        const answer = yield* post(rest)
        const { id } = JSON.parse(answer.text)
        expectError(answer, 400, id, message)
        assert.isTrue([body, "model.post.is_valid.file_ids.app_error"].includes(id), id)
        assert.isBelow(answer.text.length, 1500)
      }
      // What is not to be understood is not repeated at length.
      const long = yield* post(`"file_ids":["${"x".repeat(500_000)}",7]`)
      expectError(long, 400, body)
      assert.isBelow(long.text.length, 1500)
      assert.strictEqual((yield* send("POST", "/api/v4/posts", "[".repeat(1_000_000))).status, 400)
      const good = yield* post(`"props":${nested(28)}`)
      assert.strictEqual(good.status, 201)
      const list = yield* send("GET", `/api/v4/channels/${id}/posts`)
      assert.strictEqual(JSON.parse(list.text).order.length, 1)
      for (const query of ["page=1e300", "per_page=1e300", "since=1e300", "page=9007199254740993", "page=2147483648"]) {
        expectError(yield* send("GET", `/api/v4/channels/${id}/posts?${query}`), 400, body)
      }
      assert.strictEqual((yield* send("GET", `/api/v4/channels/${id}/posts?page=2147483647`)).status, 200)
      // That a post is a plugin's is not for clients to say.
      const marked = JSON.parse((yield* post(`"props":{"from_plugin":"true","a":1}`)).text)
      assert.deepStrictEqual(marked.props, { a: 1 })
      const edit = JSON.stringify({ message: "n", props: { from_plugin: "true", b: 1 } })
      assert.deepStrictEqual(JSON.parse((yield* send("PUT", `/api/v4/posts/${marked.id}`, edit)).text).props, { b: 1 })
    }).pipe(Effect.provide(served())),
  )
})
