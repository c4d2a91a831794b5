/** The broker's connections multiplexed over one, against go-plugin's own multiplexer. */
import { existsSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { type HandshakeError, implement, statusCode } from "../../src/goplugin/index.ts"
import { PingPong, Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { goKind, goPluginHost, noGo, pythonKind, start, startError } from "../support/goplugin.ts"

const { dialHost, double, environment, payload, serveBack } = Test.method
const MIB = 1024 * 1024

const pong = (message: string) => implement(PingPong, { ping: () => Effect.succeed({ message }) })

describe.skipIf(noGo !== undefined)("a multiplexed broker", () => {
  for (const tls of [undefined, { autoMtls: "P-256" }] as const) {
    const settings = { multiplex: true, tls, env: { FIXTURE_UNLIMITED: "1" } } as const
    describe(tls === undefined ? "in the clear" : "over TLS", () => {
      it.live("calls, both directions of the broker, and a graceful end", () =>
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const { broker, client, ping, process } = yield* Scope.provide(start(goKind, settings), scope)
          assert.strictEqual((yield* client.unary(double, { number: 21 })).number, 42)
          yield* ping
          yield* Scope.provide(broker.serve(yield* broker.nextId, [pong("one")]), scope)
          yield* Scope.provide(broker.serve(yield* broker.nextId, [pong("two")]), scope)
          assert.strictEqual((yield* client.unary(dialHost, { id: 2 })).message, "two")
          assert.strictEqual((yield* client.unary(dialHost, { id: 1 })).message, "one")
          const { id } = yield* client.unary(serveBack, {})
          const back = yield* Scope.provide(broker.connect(id), scope)
          assert.strictEqual((yield* back.unary(PingPong.method.ping, {})).message, "pong from the plugin")
          yield* Scope.close(scope, Exit.void)
          assert.deepStrictEqual(yield* process.exit, { code: 0, signal: null })
        }).pipe(Effect.provide(goPluginHost)),
      )

      it.live("many connections at once, and messages beyond every window", () =>
        Effect.gen(function* () {
          const { broker, client } = yield* start(goKind, settings)
          const oneWay = Effect.gen(function* () {
            const id = yield* broker.nextId
            yield* broker.serve(id, [pong(`pong ${id}`)])
            assert.strictEqual((yield* client.unary(dialHost, { id })).message, `pong ${id}`)
          })
          const otherWay = Effect.gen(function* () {
            const { id } = yield* client.unary(serveBack, {})
            const back = yield* broker.connect(id)
            assert.strictEqual((yield* back.unary(PingPong.method.ping, {})).message, "pong from the plugin")
          })
          const large = Effect.gen(function* () {
            const { data, received } = yield* client.unary(payload, { data: new Uint8Array(9 * MIB), size: 9 * MIB })
            assert.deepStrictEqual([data.length, received], [9 * MIB, 9 * MIB])
          })
          const some = Array.from({ length: 10 }, () => [oneWay, otherWay]).flat()
          yield* Effect.all([...some, large, large], { concurrency: "unbounded" })
        }).pipe(Effect.scoped, Effect.provide(goPluginHost)),
      )
    })
  }

  it.live("an id that is served only after the plugin has dialed it is waited for", () =>
    Effect.gen(function* () {
      const { broker, client } = yield* start(goKind, { multiplex: true })
      const dialing = yield* Effect.forkChild(client.unary(dialHost, { id: 7 }))
      // The plugin has knocked by then, most probably.
      yield* Effect.sleep("500 millis")
      yield* broker.serve(7, [pong("late")])
      assert.strictEqual((yield* Fiber.join(dialing)).message, "late")
      // It was the stream of that id, and nothing is out of step.
      yield* broker.serve(8, [pong("next")])
      assert.strictEqual((yield* client.unary(dialHost, { id: 8 })).message, "next")
    }).pipe(Effect.scoped, Effect.provide(goPluginHost)),
  )

  it.live("an id that nobody serves is waited for, and refused by either side within five seconds", () =>
    Effect.gen(function* () {
      const { broker, client } = yield* start(goKind, { multiplex: true })
      const refused = yield* Effect.flip(client.unary(dialHost, { id: 4711 }, { deadline: "30 seconds" }))
      assert.strictEqual(refused.code, statusCode.UNAVAILABLE)
      assert.include(refused.message, "no listener for id 4711")
      assert.strictEqual((yield* client.unary(double, { number: 1 })).number, 2)
      const error = yield* Effect.flip(Effect.scoped(broker.connect(4711)))
      assert.include(["refused", "timeout"], error.kind)
    }).pipe(Effect.scoped, Effect.provide(goPluginHost)),
  )

  it.live("an id is served once at a time, and nothing is left in the socket folder", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.scoped(
        Effect.gen(function* () {
          const { broker, client } = yield* start(goKind, { multiplex: true })
          yield* Effect.scoped(broker.serve(1, [pong("a")]))
          yield* broker.serve(1, [pong("b")])
          const error = yield* Effect.flip(Effect.scoped(broker.serve(1, [pong("c")])))
          assert.strictEqual(error.kind, "listen")
          assert.strictEqual((yield* client.unary(dialHost, { id: 1 })).message, "b")
          return (yield* client.unary(environment, { name: "PLUGIN_UNIX_SOCKET_DIR" })).value
        }),
      )
      assert.isFalse(existsSync(folder))
    }).pipe(Effect.provide(goPluginHost)),
  )
})

describe("a plugin that does not multiplex", () => {
  const refuses = (name: string, line: string) =>
    it.live(`is refused: ${name}`, () =>
      Effect.gen(function* () {
        const error = (yield* startError(goKind, {
          multiplex: true,
          process: { executable: "/bin/sh", args: ["-c", `echo '${line}'; sleep 300`] },
        })) as HandshakeError
        assert.strictEqual(error.kind, "multiplex")
        assert.include(error.message, "go-plugin 1.6 or newer")
      }).pipe(Effect.provide(goPluginHost)),
    )
  refuses("an old plugin's six fields", "1|1|unix|/tmp/plugin|grpc|")
  refuses("an explicit false", "1|1|unix|/tmp/plugin|grpc||false")
  refuses("a field that is no truth value", "1|1|unix|/tmp/plugin|grpc||maybe")

  it.live.skipIf(pythonKind.missing !== undefined)("says so itself, if it is on the SDK", () =>
    Effect.gen(function* () {
      const error = (yield* startError(pythonKind, { multiplex: true })) as HandshakeError
      assert.strictEqual(error.kind, "multiplex")
    }).pipe(Effect.provide(goPluginHost)),
  )
})
