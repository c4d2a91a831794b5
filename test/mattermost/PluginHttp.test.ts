/** Requests between plugins: who is asked, what of a request and an answer crosses, and what comes of a bad one. */
import { createServer, type RequestListener, type Server } from "node:http"
import { join } from "node:path"
import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Latch, Option, type Scope } from "effect"
import {
  type PluginHTTPRequest,
  PluginHTTPRequestSchema,
} from "../../src/generated/mattermost/pluginapi/v1/api_plugin_pb.js"
import type { ServeHTTPRequest } from "../../src/generated/mattermost/pluginapi/v1/hooks_http_pb.js"
import { RpcStatus, statusCode } from "../../src/rpc/RpcError.ts"
import type { HooksOptions } from "../../src/hooks/HookPolicy.ts"
import { Hooks } from "../../src/hooks/Hooks.ts"
import { connectTo } from "../../src/hooks/PluginHttpServer.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { pluginHttp, type PluginHttpOptions } from "../../src/mattermost/PluginHttp.ts"
import * as FakePlugin from "../../src/testing/FakePlugin.ts"
import { temporaryFolder } from "../support/folder.ts"

type Handler = NonNullable<FakePlugin.FakeHooks<MattermostContract>["serveHTTP"]>
type Message = Parameters<Parameters<Handler>[0]["send"]>[0]

const caller = {
  pluginId: "com.example.caller",
  bundlePath: "/nowhere",
  manifest: { id: "com.example.caller", name: "Caller" },
}

/** Answers with these messages, once the request has arrived; hands over what did. */
const answering =
  (messages: ReadonlyArray<Message>, seen: (request: ReadonlyArray<ServeHTTPRequest>) => void = () => {}): Handler =>
  (call) =>
    Effect.gen(function* () {
      const received: Array<ServeHTTPRequest> = []
      for (let next = yield* call.receive; Option.isSome(next); next = yield* call.receive) received.push(next.value)
      seen(received)
      yield* Effect.forEach(messages, (message) => call.send(message), { discard: true })
    }).pipe(Effect.mapError((error) => new RpcStatus({ code: statusCode.INTERNAL, details: String(error) })))

/** A plugin's own HTTP server, on a socket. */
const ownServer = Effect.fnUntraced(function* (listener: RequestListener) {
  const path = join(yield* temporaryFolder, "http.sock")
  yield* Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = createServer(listener)
      server.listen(path, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      }),
  )
  return yield* connectTo(path)
})

/** Makes requests of a plugin's to another one, `Other`. */
const asking = <A, E>(
  hooks: FakePlugin.FakeHooks<MattermostContract>,
  test: (
    ask: (
      request: Partial<Pick<PluginHTTPRequest, "body" | "headers" | "method" | "url">>,
    ) => ReturnType<Effect.Success<ReturnType<typeof pluginHttp>>["pluginHTTP"]>,
  ) => Effect.Effect<A, E, Scope.Scope>,
  {
    hooks: policy = {},
    own,
    ...options
  }: PluginHttpOptions & { readonly hooks?: HooksOptions<MattermostContract>; readonly own?: RequestListener } = {},
) =>
  Effect.gen(function* () {
    const { client } = yield* FakePlugin.start(MattermostContract, hooks)
    const hooked = yield* (yield* Hooks).connect(MattermostContract, client, "other", policy)
    yield* (yield* MattermostPlugins).active.register(
      own === undefined ? hooked : { ...hooked, http: yield* ownServer(own) },
    )
    const { pluginHTTP } = yield* pluginHttp(options)
    return yield* test((request) => pluginHTTP(create(PluginHTTPRequestSchema, request), caller))
  }).pipe(Effect.scoped, Effect.provide([Hooks.layer, MattermostPlugins.layer]), Effect.timeout("60 seconds"))

const OK: Message = { init: { statusCode: 200 }, bodyComplete: true }
const bodyOf = (answer: { readonly body?: Uint8Array | undefined }) => Buffer.from(answer.body ?? []).toString()

describe("a request to another plugin", () => {
  it.live("arrives below its id, with the caller's and without whatever only the host may say", () => {
    let received: ReadonlyArray<ServeHTTPRequest> = []
    return asking({ serveHTTP: answering([OK], (request) => (received = request)) }, (ask) =>
      Effect.gen(function* () {
        yield* ask({
          url: "/OTHER/a%2Fb?x=1&y=%20",
          method: "PATCH",
          body: Buffer.from("the body"),
          headers: {
            "X-Own": "kept",
            "Mattermost-User-Id": "spoofed",
            mattermost_plugin_id: "spoofed",
            "Mattermost-Plugin-ID": "spoofed",
            Connection: "x-dropped",
            "X-Dropped": "1",
            "Transfer-Encoding": "chunked",
            "content-length": "3",
            Content_Length: "3",
            Host: "caller.example",
            Expect: "100-continue",
            "User-Agent": "a plugin",
            Cookie: "a=1; MMAUTHTOKEN=x",
          },
        })
        const { headers, ...init } = received[0]!.init!
        assert.deepInclude(init, {
          method: "PATCH",
          url: "/a%2Fb?x=1&y=%20",
          requestUri: "/plugins/OTHER/a%2Fb?x=1&y=%20",
          host: "caller.example",
          contentLength: 8n,
          remoteAddr: "127.0.0.1:0",
        })
        assert.sameDeepMembers(
          headers.map(({ key, values }) => [key, values.join("|")]),
          [
            ["X-Own", "kept"],
            ["User-Agent", "a plugin"],
            ["Cookie", "a=1"],
            ["Content-Length", "8"],
            ["Mattermost-Plugin-ID", "com.example.caller"],
          ],
        )
        assert.strictEqual(init.pluginContext?.userAgent, "a plugin")
        assert.match(init.pluginContext!.requestId, /^[0-9a-f-]{36}$/)
        assert.strictEqual(Buffer.concat(received.map(({ bodyChunk }) => bodyChunk)).toString(), "the body")

        yield* ask({ url: "/other/" })
        assert.deepInclude(received[0]!.init!, { method: "GET", url: "/", host: "localhost", contentLength: 0n })
        assert.isTrue(received[0]!.bodyComplete)
        assert.deepStrictEqual(
          received[0]!.init!.headers.map(({ key }) => key),
          ["Content-Length", "Mattermost-Plugin-ID"],
        )
      }),
    )
  })

  it.live("is answered with the other's status, body, and one value for each header", () =>
    asking(
      {
        serveHTTP: answering([
          {
            init: {
              statusCode: 503,
              headers: [
                { key: "Content-Type", values: ["text/plain"] },
                { key: "X-Many", values: ["1", "2"] },
                { key: "x-many", values: ["3"] },
                { key: "Connection", values: ["X-Hop"] },
                { key: "X-Hop", values: ["1"] },
              ],
            },
            bodyChunk: Buffer.from("one "),
          },
          { bodyChunk: Buffer.from("two"), bodyComplete: true },
        ]),
      },
      (ask) =>
        Effect.gen(function* () {
          const answer = yield* ask({ url: "/other/x" })
          assert.strictEqual(answer.statusCode, 503)
          assert.strictEqual(bodyOf(answer), "one two")
          assert.deepStrictEqual(answer.headers, {
            "Content-Type": "text/plain",
            "X-Many": "1, 2, 3",
            "X-Content-Type-Options": "nosniff",
          })
          assert.strictEqual(bodyOf(yield* ask({ url: "/other/x", method: "HEAD" })), "")
        }),
    ),
  )

  it.live("that nobody can be asked for is answered, and is no error", () =>
    asking({ serveHTTP: answering([OK]) }, (ask) =>
      Effect.gen(function* () {
        const status = (request: Parameters<typeof ask>[0]) => Effect.map(ask(request), ({ statusCode: code }) => code)
        for (const url of [
          "",
          "/",
          "//",
          "//other/x",
          "/other",
          "/other?x=/",
          "other/x",
          "http://localhost/other/x",
          "/other/../x",
          "/other/%2e%2e/x",
          "/other/a\\b",
          "/other/100%",
          "/other/x#y",
          "/oth%2Fer/x",
          "/other/x HTTP/1.1\r\nX: y\r\n\r\n",
          "/other/caf\u00e9",
        ]) {
          assert.strictEqual(yield* status({ url }), 400, JSON.stringify(url))
        }
        for (const method of ["CONNECT", "GET /x HTTP/1.1\r\nA: b\r\n\r\nGET", "G\u00c9T", " "]) {
          assert.strictEqual(yield* status({ url: "/other/x", method }), 400, method)
        }
        for (const headers of [
          { "X-A": "a\r\nX-B: b" },
          { "X-A\r\nX-B": "b" },
          { "X A": "b" },
          { "": "b" },
          { a: "\u20ac" },
        ]) {
          const answer = yield* ask({ url: "/other/x", headers })
          assert.strictEqual(answer.statusCode, 400, JSON.stringify(headers))
          assert.notInclude(bodyOf(answer), "\n")
        }
        const missing = yield* ask({ url: "/nobody/x" })
        assert.strictEqual(missing.statusCode, 404)
        assert.include(bodyOf(missing), "nobody")
        assert.strictEqual(yield* status({ url: "/other/x" }), 200)
      }),
    ),
  )

  it.live("to a plugin without HTTP is a 404", () =>
    asking({ onActivate: () => Effect.succeed({}) }, (ask) =>
      Effect.gen(function* () {
        const answer = yield* ask({ url: "/other/x" })
        assert.strictEqual(answer.statusCode, 404)
      }),
    ),
  )

  const failures: ReadonlyArray<readonly [how: string, handler: Handler, status: number]> = [
    ["fails", () => Effect.fail(new RpcStatus({ code: statusCode.INTERNAL, details: "the secret is 42" })), 502],
    ["can't be reached", () => Effect.fail(new RpcStatus({ code: statusCode.UNAVAILABLE, details: "" })), 503],
    [
      "answers what HTTP does not allow",
      answering([{ ...OK, init: { headers: [{ key: "A", values: ["\n"] }] } }]),
      500,
    ],
    ["has a status that is none", answering([{ ...OK, init: { statusCode: 7 } }]), 500],
    ["breaks off", answering([{ init: {}, bodyChunk: Buffer.from("x") }]), 502],
    ["is too long", answering([{ init: {}, bodyChunk: Buffer.alloc(600) }, { bodyChunk: Buffer.alloc(600) }]), 502],
    ["does not answer", () => Effect.never, 504],
    ["does not end", (call) => Effect.andThen(Effect.orDie(call.send({ init: {} })), Effect.never), 504],
  ]
  it.live.each(failures)("that the other plugin %s is an error", ([, handler, status]) =>
    asking(
      { serveHTTP: handler },
      (ask) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(ask({ url: "/other/x" }))
          assert.deepInclude(error, { _tag: "PluginApiError", id: "app.plugin.serve_http", statusCode: status })
          assert.include(error.message, "other")
          assert.notInclude(error.message, "42")
        }),
      { maxAnswer: 1000, limit: status === 504 ? "1 second" : "50 seconds" },
    ),
  )

  it.live("goes by the other plugin's deadline", () =>
    asking(
      { serveHTTP: () => Effect.never },
      (ask) => Effect.map(Effect.flip(ask({ url: "/other/x" })), (error) => assert.strictEqual(error.statusCode, 504)),
      { hooks: { policies: { serveHTTP: { deadline: "100 millis" } } }, limit: "50 seconds" },
    ),
  )

  it.live("is cancelled when its caller goes", () =>
    Effect.gen(function* () {
      const began = yield* Deferred.make<void>()
      const cancelled = yield* Deferred.make<void>()
      const handler: Handler = () =>
        Effect.onInterrupt(Effect.andThen(Deferred.succeed(began, undefined), Effect.never), () =>
          Effect.asVoid(Deferred.succeed(cancelled, undefined)),
        )
      yield* asking({ serveHTTP: handler }, (ask) =>
        Effect.gen(function* () {
          const asked = yield* Effect.forkScoped(ask({ url: "/other/x" }))
          yield* Deferred.await(began)
          yield* Fiber.interrupt(asked)
          yield* Deferred.await(cancelled)
        }),
      )
    }),
  )

  it.live("is refused while its caller has too many in flight, and not after that", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const begun = yield* Latch.make()
      let count = 0
      const handler: Handler = (call) =>
        Effect.andThen(
          Effect.suspend(() => Effect.andThen(++count === 2 ? begun.open : Effect.void, Deferred.await(gate))),
          Effect.orDie(call.send(OK)),
        )
      yield* asking(
        { serveHTTP: handler },
        (ask) =>
          Effect.gen(function* () {
            const asked = yield* Effect.forkScoped(
              Effect.all([ask({ url: "/other/1" }), ask({ url: "/other/2" })], { concurrency: 2 }),
            )
            yield* begun.await
            const error = yield* Effect.flip(ask({ url: "/other/3" }))
            assert.deepInclude(error, { id: "app.plugin.busy", statusCode: 503 })
            assert.include(error.message, caller.pluginId)
            yield* Deferred.succeed(gate, undefined)
            yield* Fiber.join(asked)
            assert.strictEqual((yield* ask({ url: "/other/4" })).statusCode, 200)
          }),
        { maxInFlight: 2 },
      )
    }),
  )
})

/** No request is to come by the contract here. */
const NEVER: FakePlugin.FakeHooks<MattermostContract> = { serveHTTP: () => Effect.die("asked by the contract") }

describe.skipIf(process.platform === "win32")("a request to a plugin that serves HTTP itself", () => {
  it.live("goes to its own server, with what the host says of it", () => {
    const seen: Array<{ readonly line: string; readonly head: ReadonlyArray<string>; readonly body: string }> = []
    const own: RequestListener = (request, response) => {
      let body = ""
      request.on("data", (chunk) => (body += String(chunk)))
      request.on("end", () => {
        seen.push({ line: `${request.method} ${request.url}`, head: request.rawHeaders, body })
        response.writeHead(
          201,
          [
            ["X-Many", "1"],
            ["x-many", "2"],
          ].flat(),
        )
        response.end("its answer")
      })
    }
    return asking(
      NEVER,
      (ask) =>
        Effect.gen(function* () {
          const headers = {
            "X-Own": "kept",
            "Plugin-Supervisor-Client": "spoofed",
            plugin_supervisor_target: "spoofed",
            "X-Forwarded-For": "10.0.0.1",
            Forwarded: "for=10.0.0.1",
            "Transfer-Encoding": "chunked",
            "Content-Length": "1",
            Upgrade: "websocket",
            Connection: "upgrade",
          }
          const answer = yield* ask({ url: "/other/a?b", method: "POST", headers, body: Buffer.from("the body") })
          assert.strictEqual(answer.statusCode, 201)
          assert.strictEqual(bodyOf(answer), "its answer")
          assert.strictEqual(answer.headers?.["X-Many"], "1, 2")
          const [first] = seen
          assert.deepInclude(first, { line: "POST /a?b", body: "the body" })
          const fields = Object.fromEntries(
            first!.head.flatMap((name, index) =>
              index % 2 === 0 ? [[name.toLowerCase(), first!.head[index + 1]]] : [],
            ),
          )
          const { "plugin-supervisor-request-id": id, ...others } = fields
          assert.isString(id)
          assert.deepStrictEqual(others, {
            host: "localhost",
            "x-own": "kept",
            "content-length": "8",
            "mattermost-plugin-id": "com.example.caller",
            "plugin-supervisor-target": "/plugins/other/a?b",
            "plugin-supervisor-client": "127.0.0.1:0",
            "plugin-supervisor-protocol": "HTTP/1.1",
            connection: "keep-alive",
          })
          // Whatever the method: no body is one of no bytes, and nothing of a request is read as another.
          for (const method of ["GET", "POST", "DELETE", "HEAD"]) {
            assert.strictEqual((yield* ask({ url: "/other/next", method })).statusCode, 201)
            assert.deepInclude(seen.at(-1), { line: `${method} /next`, body: "" })
          }
          assert.strictEqual(seen.length, 5)
        }),
      { own },
    )
  })

  const faults: ReadonlyArray<readonly [how: string, own: RequestListener, status: number]> = [
    ["breaks off", (_, response) => void response.write("x", () => response.destroy()), 502],
    ["ends before it answers", (_, response) => response.destroy(), 502],
    ["is too long", (_, response) => response.end(Buffer.alloc(2000)), 502],
    ["answers 1xx at last", (_, response) => void response.writeHead(101).end(), 502],
    ["does not answer", () => {}, 504],
    ["does not end", (_, response) => void response.write("x"), 504],
  ]
  it.live.each(faults)("that it %s is an error", ([, own, status]) =>
    asking(
      NEVER,
      (ask) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(ask({ url: "/other/x" }))
          assert.deepInclude(error, { _tag: "PluginApiError", id: "app.plugin.serve_http", statusCode: status })
        }),
      { own, maxAnswer: 1000, limit: status === 504 ? "1 second" : "50 seconds" },
    ),
  )
})
