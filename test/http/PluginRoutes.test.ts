/** The plugins' routes in a backend of one's own, in front of a plugin that is not there. */
import { createServer, type ServerOptions } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, Metric, Option, Redacted, type Scope } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { AccessToken } from "../../src/http/AccessToken.ts"
import { createServer as createHostServer } from "../../src/http/NodeServer.ts"
import * as AdminRoutes from "../../src/http/AdminRoutes.ts"
import * as PluginRoutes from "../../src/http/PluginRoutes.ts"
import * as FakePlugin from "../../src/testing/FakePlugin.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { Hooks } from "../../src/hooks/Hooks.ts"
import { eventually } from "../support/host.ts"
import { recordLog } from "../support/log.ts"
import { head, type Wire, wire } from "../support/rawHttp.ts"

/** What a backend may tell by whose a token is. */
class Sessions extends Context.Service<Sessions, (token: string) => Option.Option<string>>()("test/Sessions") {}

type Handler = NonNullable<FakePlugin.FakeHooks<MattermostContract>["serveHTTP"]>

/** Asks a server with one plugin, `fake`, whose ServeHTTP is `handler`. */
const serving = <A, E>(
  {
    authenticate,
    handler,
    node,
    routes,
  }: {
    readonly handler: Handler
    readonly authenticate?: PluginRoutes.Authenticate<Error, Sessions>
    readonly routes?: PluginRoutes.PluginRoutesOptions
    readonly node?: ServerOptions
  },
  test: (connect: Effect.Effect<Wire, never, Scope.Scope>) => Effect.Effect<A, E, Scope.Scope>,
) =>
  Effect.gen(function* () {
    const { client } = yield* FakePlugin.start(MattermostContract, { serveHTTP: handler })
    const hooks = yield* (yield* Hooks).connect(MattermostContract, client, "fake")
    const { active } = yield* MattermostPlugins
    yield* active.register(hooks)
    const served = HttpRouter.serve(
      PluginRoutes.layer(MattermostPlugins, authenticate ?? (() => Effect.succeedNone), routes),
      {
        disableLogger: true,
        disableListenLog: true,
      },
    ).pipe(
      Layer.provideMerge(NodeHttpServer.layer(() => createServer({ ...node }), { host: "127.0.0.1", port: 0 })),
      Layer.provide(MattermostPlugins.layerEnvironmentTest([])),
      Layer.provide(Layer.succeed(Sessions, (token) => Option.liftPredicate("ann", () => token === "t"))),
      Layer.provide(Layer.succeed(MattermostPlugins, yield* MattermostPlugins)),
    )
    return yield* Effect.gen(function* () {
      const { address } = yield* HttpServer.HttpServer
      return yield* Effect.scoped(test(wire("port" in address ? address.port : 0)))
    }).pipe(Effect.provide(served))
  }).pipe(Effect.scoped, Effect.provide([Hooks.layer, MattermostPlugins.layer]))

const get = head("GET", "/plugins/fake/x", ["Connection: close"])

/** Answers for ever, 64 KiB at a time. */
const flood: Handler = (call) =>
  Effect.andThen(
    call.send({ init: { statusCode: 200 } }),
    Effect.forever(call.send({ bodyChunk: new Uint8Array(65_536) })),
  ).pipe(Effect.orDie)

/** Takes whatever comes, and answers nothing. */
const silent: Handler = () => Effect.never

const inFlight = Effect.map(Metric.snapshot, (metrics) => {
  const gauge = metrics.find(
    ({ attributes, id }) => id === "plugin_http_requests_in_flight" && attributes?.["plugin"] === "fake",
  )
  return gauge !== undefined && "value" in gauge.state ? Number(gauge.state.value) : 0
})
const untilNoneInFlight = Effect.gen(function* () {
  for (let tries = 0; (yield* inFlight) !== 0; tries++) {
    assert.isBelow(tries, 1000, "requests stay in flight")
    yield* Effect.sleep("20 millis")
  }
})

describe("a defect while a request is served", () => {
  const log = recordLog()
  const entries = () => log.entries.filter(({ message }) => message.includes("/plugins/fake/x: "))

  it.live("is answered 500, and logged once with the plugin's id", () =>
    serving({ handler: silent, authenticate: () => Effect.die(new Error("the database is gone")) }, (connect) =>
      Effect.gen(function* () {
        const { untilClosed, write } = yield* connect
        write(head("GET", "/plugins/fake/x", ["Authorization: Bearer x", "Connection: close"]))
        const answer = yield* untilClosed
        assert.match(answer, /^HTTP\/1\.1 500 .*"status_code":500/s)
        assert.notInclude(answer, "database")
        assert.deepStrictEqual(
          entries().map(({ fields, level }) => [level, fields["plugin_id"]]),
          [["Error", "fake"]],
        )
        log.entries.length = 0
      }),
    ).pipe(Effect.provide(log.layer)),
  )

  it.live("may be a failure of what tells whose a token is", () =>
    serving({ handler: silent, authenticate: () => Effect.fail(new Error("no sessions")) }, (connect) =>
      Effect.gen(function* () {
        const { untilClosed, write } = yield* connect
        write(head("GET", "/plugins/fake/x", ["Authorization: Bearer x", "Connection: close"]))
        const answer = yield* untilClosed
        assert.match(answer, /^HTTP\/1\.1 500 /)
        assert.notInclude(answer, "no sessions")
        assert.lengthOf(entries(), 1)
        log.entries.length = 0
      }),
    ).pipe(Effect.provide(log.layer)),
  )

  it.live("cuts an answer off that has begun", () =>
    serving(
      // Nothing of a plugin's, or a client's, is known to do this.
      { handler: flood, routes: { clientStallTimeout: "no time" as "1 second" } },
      (connect) =>
        Effect.gen(function* () {
          const { socket, untilClosed, write } = yield* connect
          socket.pause()
          write(get)
          yield* eventually("it was logged", () => entries().length === 1)
          assert.strictEqual(entries()[0]!.fields["plugin_id"], "fake")
          socket.resume()
          assert.notMatch(yield* untilClosed, /\r\n0\r\n\r\n$/, "a client must not take it for whole")
        }),
    ).pipe(Effect.provide(log.layer)),
  )
})

describe("requests behind others", () => {
  it.live("end with their connection, however that ends", () =>
    serving({ handler: flood }, (connect) =>
      Effect.gen(function* () {
        for (const last of [
          head("CONNECT", "localhost:80"),
          "no HTTP",
          head("GET", "/plugins/fake/x", ["Upgrade: x"]),
        ]) {
          const { socket, until, write } = yield* connect
          write(head("GET", "/plugins/fake/x").repeat(3) + head("HEAD", "/plugins/nobody/x"))
          yield* until(/200 OK/)
          write(last)
          yield* Effect.sleep("50 millis")
          socket.destroy()
          yield* untilNoneInFlight
        }
      }),
    ).pipe(Effect.timeout("30 seconds")),
  )
})

describe("slow clients", () => {
  it.live("count as gone when they take nothing of an answer", () =>
    serving({ handler: flood, routes: { clientStallTimeout: "3 seconds" } }, (connect) =>
      Effect.gen(function* () {
        const { received, socket, until, write } = yield* connect
        write(get)
        yield* until(/200 OK/)
        // Slow, but alive: some bytes every now and then, for several times that long.
        for (let round = 0; round < 8; round++) {
          socket.pause()
          yield* Effect.sleep("400 millis")
          const before = received().length
          socket.resume()
          yield* eventually("more came", () => received().length > before + 1_000_000)
        }
        socket.pause()
        yield* untilNoneInFlight
      }),
    ),
  )

  it.live("get no more time for a request than Node's server has", () => {
    const node = { headersTimeout: 500, requestTimeout: 1000, connectionsCheckingInterval: 50 }
    return serving({ handler: silent, node }, (connect) =>
      Effect.gen(function* () {
        const slowHead = yield* connect
        slowHead.write("GET /plugins/fake/x HTTP/1.1\r\nHost: loc")
        const slowBody = yield* connect
        slowBody.write(head("POST", "/plugins/fake/x", ["Content-Length: 10"]) + "x")
        assert.match(yield* slowHead.untilClosed, /^HTTP\/1\.1 408 /)
        yield* slowBody.untilClosed
        yield* untilNoneInFlight
      }),
    )
  })

  it("are bound so by default", () => {
    const { headersTimeout, keepAliveTimeout, requestTimeout } = createHostServer()
    assert.deepStrictEqual([headersTimeout, requestTimeout, keepAliveTimeout], [60_000, 300_000, 5000])
  })
})

describe("a server that takes offers of other protocols", () => {
  it.live("says that a connection ends on which nobody takes them", () =>
    serving({ handler: (call) => Effect.orDie(call.send({ init: {}, bodyComplete: true })) }, (connect) =>
      Effect.gen(function* () {
        for (const [path, status] of [
          ["/plugins/fake/x", 200],
          ["/plugins/nobody/x", 404],
        ]) {
          const { socket, untilClosed, write } = yield* connect
          write(head("GET", String(path), ["Connection: Upgrade", "Upgrade: h2c"]))
          assert.match(yield* untilClosed, new RegExp(`^HTTP/1\\.1 ${status} .*^Connection: close`, "ims"))
          // The client does not end its side: the server does not wait for that.
          yield* eventually("it is gone", () => !socket.write("x") || socket.destroyed)
        }
      }),
    ),
  )
})

describe("headers for the whole origin", () => {
  it.live("pass where they are allowed", () => {
    const headers = ["Clear-Site-Data", "NEL"].map((key) => ({ key, values: ["x"] }))
    const handler: Handler = (call) => Effect.orDie(call.send({ init: { headers }, bodyComplete: true }))
    return serving({ handler, routes: { allowedHeaders: ["clear-SITE-data"] } }, (connect) =>
      Effect.gen(function* () {
        const { untilClosed, write } = yield* connect
        write(get)
        const answer = yield* untilClosed
        assert.match(answer, /^Clear-Site-Data: x/m)
        assert.notMatch(answer, /^NEL/m)
      }),
    )
  })
})

describe("the token of the operators", () => {
  it.live("reaches no plugin, though nobody's requests to plugins are authenticated by it", () => {
    const handler: Handler = (call) =>
      Effect.gen(function* () {
        const { init } = yield* Effect.map(call.receive, Option.getOrThrow)
        const seen = JSON.stringify([init?.url, init?.headers])
        yield* call.send({ init: { headers: [] }, bodyChunk: new TextEncoder().encode(seen), bodyComplete: true })
      }).pipe(Effect.orDie)
    return serving({ handler }, (connect) =>
      Effect.gen(function* () {
        const { untilClosed, write } = yield* connect
        const fields = [
          "Connection: close",
          "Authorization: Bearer operators-t0ken",
          "X-Other: a operators-t0ken",
          "X-Own: mine",
        ]
        write(head("GET", "/plugins/fake/x?t=operators-t0ken&kept=1", fields))
        const answer = yield* untilClosed
        assert.notInclude(answer, "operators-t0ken")
        assert.match(answer, /kept=1.*X-Own.*mine/)
      }),
    ).pipe(Effect.provideService(AccessToken, AccessToken.make(Redacted.make("operators-t0ken"))))
  })
})

describe("what tells whose a token is", () => {
  it.live("may need services", () => {
    const handler: Handler = (call) =>
      Effect.gen(function* () {
        const { init } = yield* Effect.map(call.receive, Option.getOrThrow)
        const user = init?.headers.find(({ key }) => key.toLowerCase() === "mattermost-user-id")?.values[0]
        yield* call.send({ init: {}, bodyChunk: new TextEncoder().encode(`it is ${user}`), bodyComplete: true })
      }).pipe(Effect.orDie)
    const authenticate = (token: string) => Effect.map(Sessions, (find) => find(token))
    return serving({ handler, authenticate }, (connect) =>
      Effect.gen(function* () {
        for (const [token, user] of [
          ["t", "ann"],
          ["x", "undefined"],
        ] as const) {
          const { untilClosed, write } = yield* connect
          write(head("GET", "/plugins/fake/x", [`Authorization: Bearer ${token}`, "Connection: close"]))
          assert.include(yield* untilClosed, `it is ${user}`)
        }
      }),
    )
  })
})

describe("the places of routes", () => {
  /** What a program with these routes is told; nothing where it starts. */
  const told = (...routes: ReadonlyArray<Layer.Layer<never, never, any>>) =>
    Effect.gen(function* () {
      const served = HttpRouter.serve(Layer.mergeAll(Layer.empty, ...routes), {
        disableLogger: true,
        disableListenLog: true,
      }).pipe(
        Layer.provide(NodeHttpServer.layer(() => createServer(), { host: "127.0.0.1", port: 0 })),
        Layer.provide(MattermostPlugins.layerEnvironmentTest([])),
        Layer.provide(MattermostPlugins.layer),
        Layer.provide(Layer.succeed(AccessToken, AccessToken.make(Redacted.make("t")))),
      ) as Layer.Layer<never>
      const exit = yield* Effect.exit(Layer.build(served))
      return Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : undefined
    }).pipe(Effect.scoped)
  const plugins = (path?: string) => PluginRoutes.layer(MattermostPlugins, () => Effect.succeedNone, { path })
  const admin = (path?: string) => AdminRoutes.layer(MattermostPlugins, { path })

  it.live("are paths, and no pattern of a router's", () =>
    Effect.gen(function* () {
      for (const path of ["", "/", "plugins", "/plugins/", "//a", "/a/:id", "/a/*", "/a?b", "/ä", "/a/../b"]) {
        assert.include(
          yield* told(plugins(path)),
          `path of PluginRoutes.layer is ${JSON.stringify(path)}; it begins with`,
        )
        assert.include(yield* told(admin(path)), `path of AdminRoutes.layer is ${JSON.stringify(path)}`)
      }
    }),
  )

  it.live("are one host's each", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* told(plugins(), admin(), plugins("/b/plugins"), admin("/b/api")))
      assert.include(
        yield* told(plugins(), plugins()),
        "PluginRoutes.layer can't serve /plugins: PluginRoutes.layer of this server has /plugins already; give one of the two another place by its option path",
      )
      assert.include(yield* told(plugins("/a"), plugins("/a/b")), "another place")
      assert.include(yield* told(admin(), admin()), "AdminRoutes.layer can't serve /api/v4: ")
      assert.include(yield* told(admin("/a"), plugins("/a/plugins")), "another place")
      assert.isUndefined(yield* told(plugins("/a/plugins"), plugins("/a/plugins2")))
    }),
  )
})
