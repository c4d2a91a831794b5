/** A plugin on our Go package: when it takes an offer of ttrpc, how it ends, and HTTP under hosts that know nothing of ours. */
import { execFileSync, spawn } from "node:child_process"
import { existsSync, statSync, writeFileSync } from "node:fs"
import { request } from "node:http"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope } from "effect"
import { statusCode } from "../../src/goplugin/index.ts"
import { PluginOffers } from "../../src/generated/plugin_supervisor/v1/plugin_offers_pb.js"
import { PluginHttp } from "../../src/generated/plugin_supervisor/v1/plugin_http_pb.js"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { temporaryFolder } from "../support/folder.ts"
import { goPluginHost, recorded, start, supervisedKind } from "../support/goplugin.ts"
import { BUSY, eventually } from "../support/host.ts"
import type { Entry } from "../support/log.ts"

const { double } = Test.method

const live = <E>(name: string, test: (log: ReadonlyArray<Entry>) => Effect.Effect<unknown, E, any>) =>
  it.live(name, () => recorded(test).pipe(Effect.provide(goPluginHost)) as Effect.Effect<unknown, E>)

/** An offer of a host that answers nothing. */
const ttrpc = { serve: () => Effect.void }

/** Starts the plugin's process by itself, with sockets in the places of those that a host offers; answers its handshake too. */
const spawned = (env: { readonly [name: string]: string } = {}) =>
  Effect.gen(function* () {
    const { executable, env: own } = supervisedKind.options().process
    const socketDirectory = yield* temporaryFolder
    const plugin = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(executable, {
          env: {
            ...own,
            FIXTURE_COOKIE: "conformance",
            PLUGIN_UNIX_SOCKET_DIR: socketDirectory,
            PLUGIN_SUPERVISOR_TTRPC: "3,4",
            ...env,
          },
          stdio: ["ignore", "pipe", "ignore", "pipe", "pipe"],
        }),
      ),
      (plugin) => Effect.sync(() => plugin.kill("SIGKILL")),
    )
    let line = ""
    plugin.stdout!.on("data", (chunk) => (line += String(chunk)))
    yield* eventually("it prints its handshake", () => line.endsWith("\n"))
    return { plugin, line }
  })

const suite = describe.skipIf(supervisedKind.missing !== undefined || process.platform === "win32")

suite("our Go package", () => {
  it("passes its own tests", () => {
    execFileSync("go", ["test", "./..."], { cwd: join(import.meta.dirname, "../../go-sdk"), stdio: "pipe" })
  })
})

suite("a Go plugin and an offer of ttrpc", () => {
  const cases: ReadonlyArray<readonly [string, string, { readonly [name: string]: string }]> = [
    ["that implements hooks", "ttrpc", { FIXTURE_HOOKS: "OnActivate" }],
    ["that implements ServeHTTP by a handler", "ttrpc", { FIXTURE_HOOKS: "OnActivate ServeHTTP", FIXTURE_HTTP: "yes" }],
    ["that implements ServeHTTP as a stream", "grpc", { FIXTURE_HOOKS: "OnActivate ServeHTTP" }],
    ["that takes larger messages than ttrpc has", "grpc", { FIXTURE_LIMIT: String(32 * 1024 * 1024) }],
  ]
  for (const [what, expected, env] of cases) {
    live(`one ${what} speaks ${expected}`, () =>
      Effect.gen(function* () {
        const { client, reattachConfig } = yield* start(supervisedKind, { env, ttrpc })
        assert.strictEqual(reattachConfig.Protocol, expected)
        assert.strictEqual((yield* client.unary(double, { number: 21 })).number, 42)
        if (env["FIXTURE_LIMIT"] === undefined) return
        const data = new Uint8Array(20 * 1024 * 1024)
        assert.strictEqual((yield* client.unary(Test.method.payload, { data, size: 1 })).received, data.length)
      }),
    )
  }

  live("it is declined where the host wants TLS, and the sockets are closed", () =>
    Effect.gen(function* () {
      // What a plugin makes of the certificate is its own affair: it answers with one in any case.
      const { line, plugin } = yield* spawned({ PLUGIN_CLIENT_CERT: "a certificate" })
      assert.match(line, /^1\|1\|unix\|[^|]+\|grpc\|.{100}/)
      const [hooks, api] = [plugin.stdio[3], plugin.stdio[4]]
      for (const socket of [hooks, api]) (socket as NodeJS.ReadableStream).resume()
      yield* eventually("both have ended", () =>
        [hooks, api].every((socket) => (socket as unknown as { readonly readableEnded: boolean }).readableEnded),
      )
    }),
  )

  for (const offer of ["3", "3,3", "1,2", "x,4", "3,77"]) {
    live(`one of ${offer} is none`, () =>
      Effect.gen(function* () {
        const { line } = yield* spawned({ PLUGIN_SUPERVISOR_TTRPC: offer })
        assert.match(line, /^1\|1\|unix\|[^|]+\|grpc\|/)
      }),
    )
  }
})

suite("the end of a Go plugin over ttrpc", () => {
  live("comes when it is asked to: calls are answered, main cleans up, and the exit code is 0", (log) =>
    Effect.gen(function* () {
      const cleanup = join(yield* temporaryFolder, "clean")
      const scope = yield* Scope.make()
      const started = start(supervisedKind, { env: { FIXTURE_CLEANUP: cleanup }, ttrpc, shutdownLimit: "60 seconds" })
      const { client, process } = yield* Scope.provide(started, scope)
      const slow = yield* Effect.forkScoped(client.unary(double, { number: 500 }))
      yield* eventually("it is being answered", () => log.some(({ message }) => message === "taking its time"))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* process.exit, { code: 0, signal: null })
      assert.strictEqual((yield* Fiber.join(slow)).number, 1000)
      assert.isTrue(existsSync(cleanup))
      assert.deepStrictEqual(
        log.filter(({ level }) => level === "Warn" || level === "Error"),
        [],
      )
    }),
  )

  for (const [name, descriptor] of [
    ["it is called", 3],
    ["it calls its host", 4],
  ] as const) {
    live(`comes with that of the connection over which ${name}`, () =>
      Effect.gen(function* () {
        const cleanup = join(yield* temporaryFolder, "clean")
        const { line, plugin } = yield* spawned({ FIXTURE_CLEANUP: cleanup })
        assert.strictEqual(line, "1|1|fd|3|ttrpc\n")
        assert.isNull(plugin.exitCode)
        ;(plugin.stdio[descriptor] as NodeJS.ReadStream).destroy()
        yield* eventually("it has ended by itself", () => plugin.exitCode !== null, BUSY)
        assert.isTrue(existsSync(cleanup))
      }),
    )
  }
})

suite("HTTP to a Go plugin under a host that asks for a web server", () => {
  const env = { FIXTURE_HOOKS: "ServeHTTP", FIXTURE_HTTP: "yes" }

  /** A response's body. */
  const page = (socketPath: string, headers: { readonly [name: string]: string }) =>
    Effect.callback<string, Error>((resume) => {
      request({ socketPath, path: "/page?x=1", agent: false, headers }, (response) => {
        let body = ""
        response.on("data", (chunk) => (body += String(chunk)))
        response.on("end", () => resume(Effect.succeed(body)))
      })
        .on("error", (error) => resume(Effect.fail(error)))
        .end()
    })

  for (const offer of [ttrpc, undefined]) {
    live(`is served on a private socket, with what the host tells of a request: ${offer ? "ttrpc" : "grpc"}`, () =>
      Effect.gen(function* () {
        const socketDirectory = yield* temporaryFolder
        const path = join(socketDirectory, "http.sock")
        // As a process leaves it that is killed.
        writeFileSync(path, "")
        const scope = yield* Scope.make()
        const started = start(supervisedKind, { env, socketDirectory, ttrpc: offer, shutdownLimit: "60 seconds" })
        const { client } = yield* Scope.provide(started, scope)
        const offers = yield* client.unary(PluginOffers.method.describe, {})
        assert.deepStrictEqual([offers.http?.address, offers.beginsCallsInOrder], [`unix:${path}`, false])
        assert.strictEqual(statSync(path).mode & 0o777, 0o600)
        const again = yield* client.unary(PluginOffers.method.describe, {})
        assert.strictEqual(again.http?.address, `unix:${path}`)
        const body = yield* page(path, {
          host: "example.org",
          "x-twice": "both",
          "plugin-supervisor-target": "/plugins/fixture/page?x=1",
          "plugin-supervisor-client": "192.0.2.1:1234",
          "plugin-supervisor-protocol": "HTTP/1.0",
        })
        const expected = "GET /page?x=1 /plugins/fixture/page?x=1 example.org HTTP/1.0 192.0.2.1:1234\n0 [both]\n"
        assert.strictEqual(body, expected)
        yield* Scope.close(scope, Exit.void)
        assert.isFalse(existsSync(path))
      }),
    )
  }

  live("is not served without a handler", () =>
    Effect.gen(function* () {
      const { client } = yield* start(supervisedKind, { ttrpc })
      assert.isUndefined((yield* client.unary(PluginOffers.method.describe, {})).http)
    }),
  )
})

suite("HTTP to a Go plugin under a host that calls ServeHTTP", () => {
  const env = { FIXTURE_HOOKS: "ServeHTTP", FIXTURE_HTTP: "yes" }
  const text = new TextEncoder()

  /** Sends a request by its head and pieces; answers status, headers and body. */
  const asked = (
    client: Effect.Success<ReturnType<typeof start>>["client"],
    init: object,
    body: ReadonlyArray<string>,
  ) =>
    Effect.gen(function* () {
      const call = yield* client.bidi(PluginHttp.method.serveHTTP)
      yield* call.send({ init, bodyComplete: body.length === 0 })
      const first = Option.getOrThrow(yield* call.receive)
      const received = { body: Buffer.from(first.bodyChunk), isComplete: first.bodyComplete }
      const receive = Effect.gen(function* () {
        const { bodyChunk, bodyComplete } = Option.getOrThrow(yield* call.receive)
        received.body = Buffer.concat([received.body, bodyChunk])
        received.isComplete = bodyComplete
      })
      for (const [index, piece] of body.entries()) {
        yield* call.send({ bodyChunk: text.encode(piece), bodyComplete: index === body.length - 1 })
        // As soon as it has been sent.
        while (received.body.length < body.slice(0, index + 1).join("").length) yield* receive
      }
      while (!received.isComplete) yield* receive
      const headers = Object.fromEntries(first.init?.headers.map(({ key, values }) => [key, values.join()]) ?? [])
      return { status: first.init?.statusCode, headers, body: received.body.toString() }
    })

  live("the handler is asked what the host was, and its response comes as it writes it", () =>
    Effect.gen(function* () {
      const { client } = yield* start(supervisedKind, { env })
      const init = {
        method: "GET",
        url: "/page?x=1",
        requestUri: "/plugins/fixture/page?x=1",
        proto: "HTTP/1.0",
        protoMajor: 1,
        protoMinor: 0,
        host: "example.org",
        remoteAddr: "192.0.2.1:1234",
        contentLength: 0n,
        headers: [{ key: "X-Twice", values: ["one", "two"] }],
      }
      const page = yield* asked(client, init, [])
      assert.deepStrictEqual(page, {
        status: 200,
        headers: { "Content-Type": "text/plain; charset=utf-8" },
        body: "GET /page?x=1 /plugins/fixture/page?x=1 example.org HTTP/1.0 192.0.2.1:1234\n0 [one two]\n",
      })
      const echo = { ...init, method: "POST", url: "/echo", contentLength: -1n }
      assert.deepStrictEqual(yield* asked(client, echo, ["here ", "and ", "there"]), {
        status: 202,
        headers: { "Content-Type": "application/octet-stream" },
        body: "here and there",
      })
      const large = "x".repeat(200_000)
      assert.strictEqual((yield* asked(client, echo, [large])).body.length, large.length)
    }),
  )

  live("a handler that panics fails its request alone", () =>
    Effect.gen(function* () {
      const { client } = yield* start(supervisedKind, { env })
      const failed = yield* Effect.flip(asked(client, { method: "GET", url: "/panic" }, []))
      assert.deepStrictEqual(
        [failed.code, failed.details],
        [statusCode.INTERNAL, "the handler has failed: of the handler"],
      )
      const page = yield* asked(client, { method: "GET", url: "/" }, [])
      assert.strictEqual(page.status, 200)
    }),
  )
})
