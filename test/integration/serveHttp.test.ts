/** HTTP through the whole line, by each way: client, router, HTTP or a gRPC stream, Python handler, and back. */
import { createHash, randomUUID } from "node:crypto"
import { rmSync, writeFileSync } from "node:fs"
import { request as httpRequest, type IncomingMessage } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it, layer } from "@effect/vitest"
import { Effect, Exit, Layer, Logger, Option } from "effect"
import { describe } from "vitest"
import type { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import type { SupervisorOptions } from "../../src/supervisor/SupervisorOptions.ts"
import { folder } from "../support/folder.ts"
import { eventually, fixture, noPython } from "../support/host.ts"
import { address, baseUrl, server, TOKEN } from "../support/server.ts"
import { copyPlugin, type Way, WAYS } from "../support/ways.ts"

const messages: Array<string> = []
const recorder = Logger.make<unknown, void>(({ message }) => {
  messages.push(String(Array.isArray(message) ? message[0] : message))
})

/** A server of plugins that are reached in one way. */
const serverOf = (way: Way, plugins: ReadonlyArray<string>, options: SupervisorOptions<MattermostContract> = {}) =>
  Layer.unwrap(
    Effect.map(folder({}), (directory) => {
      for (const plugin of plugins) copyPlugin(fixture(plugin), join(directory, plugin), way)
      return server(directory, {}, { "http-cases": options })
    }),
  )

const get = (path: string, init: RequestInit = {}) =>
  Effect.flatMap(baseUrl, (base) => Effect.tryPromise(() => fetch(`${base}${path}`, init)))
const text = (response: Response) => Effect.promise(() => response.text())

/** Node's own client, for what fetch hides: raw headers, and when what arrives. */
const open = Effect.fnUntraced(function* (path: string, options: { method?: string; headers?: object } = {}) {
  const base = yield* baseUrl
  const request = httpRequest(`${base}${path}`, { ...options, agent: false } as object)
  yield* Effect.addFinalizer(() => Effect.sync(() => request.destroy()))
  request.on("error", () => {})
  const response = Effect.callback<IncomingMessage, Error>((resume) => {
    request.on("response", (response) => resume(Effect.succeed(response)))
    request.on("error", (error) => resume(Effect.fail(error)))
  })
  return { request, response }
})

/**
 * Byte i is i % 251. Made at once: while it is busy for longer than connections are kept, this process, which is the server as
 * well, would find the client sending on one that the server closes.
 */
const pattern = (length: number): Buffer =>
  Buffer.alloc(
    length,
    Uint8Array.from({ length: 251 }, (_, index) => index),
  )
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

describe.skipIf(noPython).each(WAYS)("ServeHTTP, by %s", (way) => {
  const live = serverOf(way, ["http-cases", "lifecycle"]).pipe(Layer.provide(Logger.layer([recorder])))

  layer(live, { timeout: "180 seconds", excludeTestServices: true })((it) => {
    it.effect("hands the request on as Mattermost does", () =>
      Effect.gen(function* () {
        const response = yield* get("/plugins/http-cases/inspect?a=1&access_token=secret&b=%2F", {
          method: "POST",
          body: "the body",
          headers: {
            "X-Own": "kept",
            Cookie: "a=1; MMAUTHTOKEN=secret; b=2",
            "Mattermost-User-Id": "spoofed",
            "mattermost_user-id": "spoofed",
            "Mattermost-Plugin-ID": "spoofed",
            Referer: "http://elsewhere/",
            Authorization: "Bearer foreign",
            "User-Agent": "test-agent",
          },
        })
        assert.strictEqual(response.status, 200)
        assert.strictEqual(response.headers.get("content-type"), "application/json")
        const seen = yield* Effect.promise(() => response.json() as Promise<any>)
        assert.strictEqual(seen.way, way)
        assert.strictEqual(seen.method, "POST")
        assert.strictEqual(seen.body, "the body")
        assert.strictEqual(seen.content_length, 8)
        assert.strictEqual(seen.url, "/inspect?a=1&b=%2F")
        assert.strictEqual(seen.request_uri, "/plugins/http-cases/inspect?a=1&b=%2F")
        assert.strictEqual(seen.agent, "test-agent")
        assert.match(seen.remote_addr, /^127\.0\.0\.1:\d+$/)
        const headers = new Map(Object.entries<Array<string>>(seen.headers).map(([k, v]) => [k.toLowerCase(), v]))
        assert.deepStrictEqual(headers.get("x-own"), ["kept"])
        assert.deepStrictEqual(headers.get("cookie"), ["a=1; b=2"])
        assert.deepStrictEqual(headers.get("authorization"), ["Bearer foreign"], "it may be the plugin's own scheme")
        for (const name of ["mattermost-user-id", "mattermost-plugin-id", "referer", "connection"]) {
          assert.isFalse(
            [...headers.keys()].some((key) => key.replaceAll("_", "-") === name),
            name,
          )
        }
      }),
    )

    it.effect("names the user of a valid token and keeps the token", () =>
      Effect.gen(function* () {
        const response = yield* get("/plugins/http-cases/inspect", { headers: { Authorization: `Bearer ${TOKEN}` } })
        const { headers } = yield* Effect.promise(() => response.json() as Promise<any>)
        assert.deepStrictEqual(headers["Mattermost-User-Id"], ["user-1"])
        assert.notInclude(JSON.stringify(headers), TOKEN)
      }),
    )

    it.effect("keeps several values of a header, and drops what belongs to the connection", () =>
      Effect.gen(function* () {
        const { request, response } = yield* open("/plugins/http-cases/headers")
        request.end()
        const { headersDistinct, statusCode } = yield* response
        assert.strictEqual(statusCode, 418)
        assert.deepStrictEqual(headersDistinct["x-many"], ["one", "two"])
        assert.deepStrictEqual(headersDistinct["set-cookie"], ["a=1", "b=2"])
        assert.notStrictEqual(headersDistinct["transfer-encoding"]?.[0], "gzip")
      }).pipe(Effect.scoped),
    )

    it.effect("sends several values of a request's header", () =>
      Effect.gen(function* () {
        const { request, response } = yield* open("/plugins/http-cases/inspect", { headers: { "X-Many": ["1", "2"] } })
        request.end()
        const incoming = yield* response
        const body = yield* Effect.promise(() => incoming.toArray() as Promise<Array<Buffer>>)
        assert.deepStrictEqual(JSON.parse(Buffer.concat(body).toString()).headers["X-Many"], ["1", "2"])
      }).pipe(Effect.scoped),
    )

    it.effect("answers a handler's exception with a clean 500", () =>
      Effect.gen(function* () {
        const response = yield* get("/plugins/http-cases/raise")
        assert.strictEqual(response.status, 500)
        assert.strictEqual(yield* text(response), "Internal Server Error")
      }),
    )

    it.effect("cuts a response off whose handler fails after it has begun", () =>
      Effect.gen(function* () {
        const response = yield* get("/plugins/http-cases/raise-late")
        assert.strictEqual(response.status, 200)
        const body = yield* Effect.exit(Effect.tryPromise(() => response.text()))
        assert.isTrue(Exit.isFailure(body), "a client must not take it for whole")
      }),
    )

    it.effect("refuses a header that would inject another, and statuses that are none", () =>
      Effect.gen(function* () {
        const injected = yield* get("/plugins/http-cases/bad-header")
        assert.strictEqual(injected.status, 500)
        assert.strictEqual(injected.headers.get("x-content-type-options"), "nosniff")
        assert.isNull(injected.headers.get("x-injected"))
        assert.strictEqual((yield* get("/plugins/http-cases/status?101")).status, 500)
        assert.strictEqual((yield* get("/plugins/http-cases/status?204")).status, 204)
        assert.strictEqual((yield* get("/plugins/http-cases/status?599")).status, 599)
      }),
    )

    it.effect("echoes 50 MiB byte-exact, both ways at once", () =>
      Effect.gen(function* () {
        const body = pattern(50 * 1024 * 1024)
        // On a connection of its own: one that was idle too long is closed, maybe in the moment that it is used again.
        const { request, response } = yield* open("/plugins/http-cases/echo", { method: "POST" })
        request.end(body)
        const incoming = yield* response
        const echoed = yield* Effect.promise(() => incoming.toArray() as Promise<Array<Buffer>>)
        assert.strictEqual(sha256(Buffer.concat(echoed)), sha256(body))
      }).pipe(Effect.scoped),
    )

    it.effect("streams: what was sent comes back before the rest is sent", () =>
      Effect.gen(function* () {
        const { request, response } = yield* open("/plugins/http-cases/echo", { method: "POST" })
        request.write("first")
        const incoming = yield* response
        const reader = incoming[Symbol.asyncIterator]()
        const next = Effect.promise(() => reader.next())
        assert.strictEqual(String((yield* next).value), "first")
        request.write("second")
        assert.strictEqual(String((yield* next).value), "second")
        request.end()
        assert.isTrue((yield* next).done)
      }).pipe(Effect.scoped),
    )

    it.effect("passes an early answer on while the client still sends", () =>
      Effect.gen(function* () {
        const { request, response } = yield* open("/plugins/http-cases/early", { method: "POST" })
        request.write("the beginning of something large")
        assert.strictEqual((yield* response).statusCode, 413)
      }).pipe(Effect.scoped),
    )

    it.effect("tells the plugin that its client has gone", () =>
      Effect.gen(function* () {
        const gone = () => messages.filter((message) => message === "the client has gone").length
        const before = gone()
        const { request, response } = yield* open("/plugins/http-cases/ticks")
        request.end()
        const incoming = yield* response
        yield* Effect.promise(() => incoming[Symbol.asyncIterator]().next())
        request.destroy()
        yield* eventually("the handler was told", () => gone() > before)
      }).pipe(Effect.scoped),
    )

    it.effect("holds nothing but a small window for a client that does not read", () =>
      Effect.gen(function* () {
        const { request, response } = yield* open("/plugins/http-cases/flood")
        request.end()
        const incoming = yield* response
        incoming.pause()
        const held = () => process.memoryUsage().arrayBuffers
        const before = held()
        let last: number
        do {
          last = held()
          yield* Effect.sleep("250 millis")
          assert.isBelow(held() - before, 64 * 1024 * 1024)
        } while (held() - last > 1024 * 1024)
        request.destroy()
      }).pipe(Effect.scoped),
    )

    it.effect("answers HEAD without a body", () =>
      Effect.gen(function* () {
        const response = yield* get("/plugins/http-cases/inspect", { method: "HEAD" })
        assert.strictEqual(response.status, 200)
        assert.strictEqual(yield* text(response), "")
      }),
    )

    it.effect("understands an id in any spelling of its URL", () =>
      Effect.gen(function* () {
        const response = yield* get("/plugins/http%2Dcases/inspect?a=%2F")
        assert.strictEqual((yield* Effect.promise(() => response.json() as Promise<any>)).url, "/inspect?a=%2F")
      }),
    )

    it.effect("answers 404 for plugins that are unknown or serve no HTTP, and finds an id in any case", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* get("/plugins/unknown/x")).status, 404)
        assert.strictEqual((yield* get("/plugins/lifecycle/x")).status, 404)
        assert.strictEqual((yield* get("/plugins/HTTP-Cases/status?200")).status, 200)
      }),
    )
  })

  const life = <A, E>(
    name: string,
    options: SupervisorOptions<MattermostContract>,
    test: Effect.Effect<A, E, Layer.Success<ReturnType<typeof server>>>,
  ) => it.live(name, () => Effect.provide(test, serverOf(way, ["http-cases"], options)))

  life(
    "answers 504 for a plugin that does not begin to answer",
    { hooks: { policies: { serveHTTP: { deadline: "1 second" } } } },
    Effect.gen(function* () {
      const response = yield* get("/plugins/http-cases/silent", { method: "POST", body: "x" })
      assert.strictEqual(response.status, 504)
    }),
  )

  const gate = join(tmpdir(), `start-${randomUUID()}`)
  life(
    "answers 503 with Retry-After while a plugin starts or waits for its next try, and 404 once it is stopped",
    { variables: { START_WHEN: gate }, restart: { delay: "1 hour", maxDelay: "1 hour" } },
    Effect.gen(function* () {
      const url = `${yield* address}/plugins/http-cases/status?200`
      const ask = Effect.promise(() => fetch(url))
      const early = yield* ask
      assert.strictEqual(early.status, 503)
      assert.strictEqual(early.headers.get("retry-after"), "1")
      writeFileSync(gate, "")
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(gate)))
      const { find, settled } = yield* MattermostPlugins.Environment
      yield* settled
      assert.strictEqual((yield* ask).status, 200)
      const { run, stop } = Option.getOrThrow(yield* find("http-cases"))
      const plugin = Option.getOrThrow(yield* run)
      process.kill(plugin.process.pid, "SIGKILL")
      yield* plugin.process.exit
      // A second, as long as nobody has seen that it has ended.
      const restarting = yield* Effect.repeat(Effect.delay(ask, "20 millis"), {
        until: ({ headers }) => Number(headers.get("retry-after")) > 1,
      }).pipe(Effect.timeout("60 seconds"))
      assert.strictEqual(restarting.status, 503)
      assert.isAtLeast(Number(restarting.headers.get("retry-after")), 0.8 * 3600 - 120)
      assert.isAtMost(Number(restarting.headers.get("retry-after")), 1.2 * 3600 + 1)
      yield* stop
      assert.strictEqual((yield* ask).status, 404)
    }).pipe(Effect.scoped),
  )
})
