/** Plugins of one's own protocol over ttrpc: who speaks it, and what there is not; on our Python SDK, as real processes. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Sink, Stream } from "effect"
import { type HandshakeError, implement, type OutputSinks, statusCode } from "../../src/goplugin/index.ts"
import { STREAM_PATIENCE } from "../../src/ttrpc/TtrpcLimits.ts"
import * as TtrpcServer from "../../src/ttrpc/TtrpcServer.ts"
import { PingPong, Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import {
  collect,
  goKind,
  goPluginHost,
  pythonKind,
  recorded,
  start,
  startError,
  ttrpcKind,
} from "../support/goplugin.ts"
import { eventually } from "../support/host.ts"
import type { Entry } from "../support/log.ts"

const { count, dialHost, double, hang, printStdio, serveBack, stream, sum } = Test.method

const MIB = 1024 * 1024

const live = <E>(name: string, test: (log: ReadonlyArray<Entry>) => Effect.Effect<unknown, E, any>) =>
  it.live(name, () => recorded(test).pipe(Effect.provide(goPluginHost)) as Effect.Effect<unknown, E>)

/** Starts one, and waits until its output is read. */
const readFrom = Effect.fnUntraced(function* (output: OutputSinks) {
  const stderr = collect()
  const { client } = yield* start(ttrpcKind, { output: { ...output, stderr: stderr.sink } })
  yield* client.unary(printStdio, { stderr: Buffer.from("read?") })
  yield* eventually("it is read", () => stderr.text() === "read?")
  return client
})

describe.skipIf(ttrpcKind.missing !== undefined)("a plugin that takes ttrpc", () => {
  live("speaks it where it is offered, and gRPC elsewhere", () =>
    Effect.gen(function* () {
      for (const [settings, protocol] of [
        [{}, "ttrpc"],
        [{ ttrpc: {} }, "ttrpc"],
        [{ ttrpc: { serve: (connection) => TtrpcServer.serve(connection, []) } }, "ttrpc"],
        [{ ttrpc: undefined }, "grpc"],
        [{ ttrpc: {}, tls: { autoMtls: "P-256" } }, "grpc"],
      ] as ReadonlyArray<readonly [Parameters<typeof start>[1], string]>) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { client, ping, reattachConfig } = yield* start(ttrpcKind, settings)
            assert.strictEqual(reattachConfig.Protocol, protocol, JSON.stringify(settings))
            assert.strictEqual((yield* client.unary(double, { number: 2 })).number, 4)
            assert.strictEqual((yield* Stream.runCollect(client.serverStream(count, { number: 3 }))).length, 3)
            yield* ping
          }),
        )
      }
    }),
  )

  live("is one that says so: any other speaks gRPC, or is refused", () =>
    Effect.gen(function* () {
      const { client, reattachConfig } = yield* start(pythonKind, { ttrpc: {} })
      assert.strictEqual(reattachConfig.Protocol, "grpc")
      assert.strictEqual((yield* client.unary(double, { number: 2 })).number, 4)
      const error = (yield* startError(pythonKind, { ttrpc: { isRequired: true } })) as HandshakeError
      assert.strictEqual(error.kind, "protocol")
      assert.include(error.message, "it speaks grpc, and is to speak ttrpc")
    }),
  )

  live("has no broker, and tells both sides", () =>
    Effect.gen(function* () {
      const { broker, client } = yield* start(ttrpcKind)
      for (const error of [
        yield* Effect.flip(client.unary(dialHost, { id: 1 })),
        yield* Effect.flip(client.unary(serveBack, {})),
      ]) {
        assert.deepStrictEqual([error.code, error.details.includes("BrokerError")], [statusCode.UNKNOWN, true])
      }
      const pong = implement(PingPong, { ping: () => Effect.succeed({ message: "" }) })
      assert.include((yield* Effect.flip(broker.serve(1, [pong]))).message, "the plugin speaks ttrpc")
    }),
  )

  live("prints more than its sink takes, and goes on; what is kept comes when it is taken", (log) =>
    Effect.gen(function* () {
      const opened = yield* Deferred.make<void>()
      let size = 0
      const sink = Sink.forEach((chunk: Uint8Array) =>
        Effect.andThen(
          Deferred.await(opened),
          Effect.sync(() => (size += chunk.length)),
        ),
      )
      const client = yield* readFrom({ stdout: sink })
      // Far more than a stream's window, and the socket's.
      yield* client.unary(printStdio, { stdout: new Uint8Array(10 * MIB) })
      // Longer than a connection waits for a stream that is not read.
      yield* Effect.sleep(STREAM_PATIENCE + 500)
      assert.strictEqual((yield* client.unary(double, { number: 1 })).number, 2)
      yield* Deferred.succeed(opened, undefined)
      yield* eventually("all has come", () => size === 10 * MIB)
      assert.isFalse(log.some(({ message }) => message.includes("some of its output is lost")))
    }),
  )

  live("prints more than is kept of it, which is told once", (log) =>
    Effect.gen(function* () {
      const client = yield* readFrom({ stdout: Sink.forEach(() => Effect.never) })
      const told = () => log.filter(({ message }) => message.includes("some of its output is lost")).length
      const printing = Effect.forever(client.unary(printStdio, { stdout: new Uint8Array(MIB) }))
      yield* Effect.raceFirst(
        printing,
        eventually("it is told", () => told() === 1),
      )
      assert.strictEqual((yield* client.unary(double, { number: 1 })).number, 2)
      assert.strictEqual(told(), 1)
    }),
  )

  live("hears of streams that are given up, and of its end", () =>
    Effect.gen(function* () {
      const stdout = collect()
      const { client } = yield* start(ttrpcKind, { output: { stdout: stdout.sink } })
      const given = yield* Effect.forkChild(Stream.runDrain(client.serverStream(hang, {})))
      yield* client.unary(double, { number: 1 })
      yield* Fiber.interrupt(given)
      yield* eventually("it is told", () => stdout.text().includes("the hanging call has ended\n"))
      const late = yield* Effect.flip(Stream.runDrain(client.serverStream(hang, {}, { deadline: "100 millis" })))
      assert.isTrue(late.isDeadline)
      const call = yield* client.bidi(stream)
      yield* call.send({ number: 1 })
      yield* call.receive
      yield* Effect.forkChild(Effect.ignore(client.clientStream(sum, Stream.never)))
    }),
  )
})

describe.skipIf(goKind.missing !== undefined)("a plugin on go-plugin", () => {
  live("is offered ttrpc in vain", () =>
    Effect.gen(function* () {
      const { client, reattachConfig } = yield* start(goKind, { ttrpc: {} })
      assert.strictEqual(reattachConfig.Protocol, "grpc")
      assert.strictEqual((yield* client.unary(double, { number: 2 })).number, 4)
    }),
  )
})
