/** What can happen to a connection, with plugins on current grpc-go. */
import { type AddressInfo, createServer, type Server } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { type GoPlugin, type HandshakeError, implement, statusCode } from "../../src/goplugin/index.ts"
import { PingPong, Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { temporaryFolder } from "../support/folder.ts"
import { isAlive } from "../support/host.ts"
import { goKind, goPluginHost, noGo, recorded, start, startError } from "../support/goplugin.ts"
import type { Entry } from "../support/log.ts"

const { dialHost, double, leave, payload, serveBack, stopServing } = Test.method

const pong = implement(PingPong, { ping: () => Effect.succeed({ message: "pong from the host" }) })

/** `SOAK=100` closes a hundred times as many. */
const ROUNDS = 100 * Number(process.env["SOAK"] ?? 1)

/** What no step here takes, on a busy machine. */
const LIMIT = "20 seconds"

describe.skipIf(noGo !== undefined)("a connection to a Go plugin", () => {
  const live = <E>(
    name: string,
    test: (log: ReadonlyArray<Entry>) => Effect.Effect<unknown, E, any>,
    timeout?: number,
  ) => it.live(name, () => recorded(test).pipe(Effect.provide(goPluginHost)) as Effect.Effect<unknown, E>, timeout)

  const called = Effect.fnUntraced(function* ({ client }: GoPlugin) {
    assert.strictEqual((yield* client.unary(double, { number: 21 })).number, 42)
  })

  for (const tls of [undefined, { autoMtls: "P-256" }] as const) {
    live(
      `what the host serves over the broker closes right after the plugin's call, ${tls === undefined ? "in the clear" : "over TLS"}`,
      () =>
        Effect.gen(function* () {
          const { broker, client } = yield* start(goKind, { tls })
          for (let round = 0; round < ROUNDS; round++) {
            const scope = yield* Scope.make()
            const id = yield* broker.nextId
            yield* Scope.provide(broker.serve(id, [pong]), scope)
            // The plugin closes its connection as it answers, which grpc-go tells in a way that Node does not expect.
            yield* client.unary(dialHost, { id })
            const closing = Effect.runFork(Scope.close(scope, Exit.void))
            assert.isTrue(Exit.isSuccess(yield* Effect.timeout(Fiber.await(closing), LIMIT)), `round ${round}`)
          }
        }),
      60_000 * Math.max(1, ROUNDS / 100),
    )
  }

  for (const [bare, what] of [
    ["none", "has no health service"],
    ["other", "has one that knows nothing of it"],
  ] as const) {
    live(`a plugin that ${what} starts with a warning, and is well as long as it answers`, (log) =>
      Effect.gen(function* () {
        const plugin = yield* start(goKind, { env: { FIXTURE_BARE: bare } })
        yield* called(plugin)
        yield* plugin.ping
        const warnings = log.filter(({ level, message }) => level === "Warn" && message.includes("no health service"))
        assert.strictEqual(warnings.length, 1)
        yield* Effect.ignore(plugin.client.unary(leave, { code: 3 }))
        yield* Effect.flip(plugin.ping)
      }),
    )
  }

  live("a plugin whose health service knows of its server as a whole is well, and nobody is warned", (log) =>
    Effect.gen(function* () {
      const plugin = yield* start(goKind, { env: { FIXTURE_BARE: "server" } })
      yield* called(plugin)
      assert.isFalse(log.some(({ message }) => message.includes("health")))
    }),
  )

  live(
    "a server that is gone is missed, though its process lives; multiplexed, and without any service of go-plugin's",
    () =>
      Effect.forEach(
        [{}, { multiplex: true }, { env: { FIXTURE_BARE: "none" } }],
        Effect.fnUntraced(function* (settings) {
          const plugin = yield* start(goKind, { shutdownLimit: "100 millis", ...settings })
          const gone = yield* Effect.forkChild(plugin.disconnected)
          yield* called(plugin)
          assert.isUndefined(gone.pollUnsafe())
          yield* Effect.ignore(plugin.client.unary(stopServing, {}))
          yield* Effect.timeout(Fiber.join(gone), LIMIT)
          assert.isTrue(isAlive(plugin.process.pid))
        }),
        { concurrency: "unbounded" },
      ),
  )

  live("a plugin that ignores its socket folder, as before go-plugin 1.5, is known by the sockets it holds", () =>
    Effect.gen(function* () {
      const plugin = yield* start(goKind, { env: { FIXTURE_SOCKETS: "temporary", TMPDIR: yield* temporaryFolder } })
      assert.notInclude(plugin.reattachConfig.Addr.String, "plugin-host-")
      yield* called(plugin)
      const { id } = yield* plugin.client.unary(serveBack, {})
      const back = yield* plugin.broker.connect(id)
      assert.strictEqual((yield* back.unary(PingPong.method.ping, {})).message, "pong from the plugin")
    }),
  )

  it.live.skipIf(process.platform !== "linux")("a socket of the abstract namespace is connected to", () =>
    Effect.gen(function* () {
      const plugin = yield* start(goKind, { env: { FIXTURE_BARE: "abstract" } })
      assert.match(plugin.reattachConfig.Addr.String, /^@fixture\d+$/)
      yield* called(plugin)
    }).pipe(Effect.scoped, Effect.provide(goPluginHost)),
  )

  live("an answer beyond the limit fails its call alone, zipped or not, and the host's own servers have it too", () =>
    Effect.gen(function* () {
      const { broker, client } = yield* start(goKind, { maxMessageSize: 1024 * 1024 })
      assert.strictEqual((yield* client.unary(payload, { size: 1_000_000 })).data.length, 1_000_000)
      const error = yield* Effect.flip(client.unary(payload, { size: 2_000_000 }))
      assert.strictEqual(error.code, statusCode.RESOURCE_EXHAUSTED)
      assert.strictEqual((yield* client.unary(double, { number: 1 })).number, 2)
      const served = yield* broker.nextId
      yield* broker.serve(served, [pong])
      assert.strictEqual((yield* client.unary(dialHost, { id: served })).message, "pong from the host")
    }),
  )

  live("calls in flight, the next ones and ping say how the process ended", () =>
    Effect.gen(function* () {
      const { client, ping } = yield* start(goKind, { env: { FIXTURE_STDERR: "last words\n" } })
      const inFlight = yield* Effect.flip(client.unary(leave, { code: 7 }))
      assert.strictEqual(inFlight.code, statusCode.UNAVAILABLE)
      assert.include(inFlight.message, "the plugin's process has ended (exit code 7)")
      assert.include((yield* Effect.flip(client.unary(double, { number: 1 }))).message, "exit code 7")
      const pinged = yield* Effect.flip(ping)
      assert.include(pinged.message, "exit code 7")
      assert.include(pinged.message, "last words")
    }),
  )

  const says = (address: string, network = "unix") => `echo "1|1|${network}|${address}|grpc"; sleep 300`
  const naming = (script: string) => ({ process: { executable: "/bin/sh", args: ["-c", script] } })

  live("a plugin that names another's address as its own is refused, and the other goes on", () =>
    Effect.gen(function* () {
      const victim = yield* start(goKind)
      const socket = victim.reattachConfig.Addr.String
      const stranger = yield* listening
      for (const [script, detail] of [
        [says(socket), "not in its socket folder"],
        [`ln -s ${socket} $PLUGIN_UNIX_SOCKET_DIR/s; ${says("$PLUGIN_UNIX_SOCKET_DIR/s")}`, "not in its socket folder"],
        [says(`$PLUGIN_UNIX_SOCKET_DIR/../../..${socket}`), "not in its socket folder"],
        [says("192.0.2.1:80", "tcp"), "not this machine's own"],
        [says("example.org:80", "tcp"), "not this machine's own"],
        [says(`127.0.0.1:${stranger}`, "tcp"), "another process listens"],
      ] as const) {
        const error = (yield* startError(goKind, naming(script))) as HandshakeError
        assert.strictEqual(error.kind, "address", script)
        assert.include(error.message, detail)
        assert.include(error.message, "allowForeignAddress")
      }
      yield* called(victim)
    }),
  )

  live("a plugin may name any address where that is allowed", () =>
    Effect.gen(function* () {
      const served = yield* start(goKind)
      const settings = { ...naming(says(served.reattachConfig.Addr.String)), allowForeignAddress: true }
      yield* Effect.scoped(Effect.flatMap(start(goKind, settings), called))
    }),
  )
})

/** A port that this very process listens on. */
const listening = Effect.map(
  Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = createServer().listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close()),
  ),
  (server) => (server.address() as AddressInfo).port,
)
