/** What a plugin of one's own protocol calls on its host over ttrpc: a real one, which asks it whatever it is asked itself. */
import { assert, describe, it } from "@effect/vitest"
import type { Duplex } from "node:stream"
import { Deferred, Effect, Fiber, Option, Stream } from "effect"
import { type Handlers, implement, MAX_CONCURRENT_STREAMS, RpcStatus, statusCode } from "../../src/goplugin/index.ts"
import { messages } from "../../src/rpc/RpcClient.ts"
import * as TtrpcServer from "../../src/ttrpc/TtrpcServer.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { forwardingKind, goPluginHost, start } from "../support/goplugin.ts"
import { sumOf } from "../support/ttrpc.ts"

const { count, dialHost, double, hang, payload, reflect, stream, sum } = Test.method

const MIB = 1024 * 1024

/** A google.rpc.Status with a detail. */
const DETAILS = Buffer.from(
  "CAsSCXRvbyBzbWFsbBoyCix0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5wcm90b2J1Zi5EdXJhdGlvbhICCAE=",
  "base64",
)

const tooSmall = new RpcStatus({ code: statusCode.OUT_OF_RANGE, details: "too small", statusDetails: DETAILS })

const handlers: Handlers<typeof Test> = {
  double: ({ number }) => (number < 0 ? Effect.fail(tooSmall) : Effect.succeed({ number: 2 * number })),
  payload: ({ data, size }) => Effect.succeed({ data: new Uint8Array(size), received: data.length }),
  reflect: ({ key }, { metadata }) => Effect.succeed({ text: String(metadata[key]) }),
  count: ({ number }) =>
    number < 0 ? Stream.fail(tooSmall) : Stream.map(Stream.range(1, number), (number) => ({ number })),
  sum: sumOf,
  stream: (call) => Stream.runForEach(messages(call), ({ number }) => call.send({ number: 2 * number })),
}

const startCalling = (own: Handlers<typeof Test> = {}) =>
  start(forwardingKind, { ttrpc: { services: [implement(Test, { ...handlers, ...own })], isRequired: true } })

const live = <E>(name: string, test: Effect.Effect<unknown, E, any>) =>
  it.live(name, () => Effect.scoped(test).pipe(Effect.provide(goPluginHost)) as Effect.Effect<unknown, E>)

describe.skipIf(forwardingKind.missing !== undefined)("a plugin that calls its host over ttrpc", () => {
  live(
    "does so in every way, while it is being called",
    Effect.gen(function* () {
      const { client } = yield* startCalling()
      assert.strictEqual((yield* client.unary(double, { number: 21 })).number, 42)
      const counted = yield* Stream.runCollect(client.serverStream(count, { number: 1000 }))
      assert.deepStrictEqual([counted.length, counted.at(-1)?.number], [1000, 1000])
      assert.strictEqual((yield* Stream.runCollect(client.serverStream(count, {}))).length, 0)
      const numbers = Stream.map(Stream.range(1, 1000), (number) => ({ number }))
      assert.strictEqual((yield* client.clientStream(sum, numbers)).sum, 500_500)
      const call = yield* client.bidi(stream)
      for (const number of [0, 1, 2]) {
        yield* call.send({ number })
        assert.strictEqual(Option.getOrThrow(yield* call.receive).number, 2 * number)
      }
      yield* call.end
      assert.isTrue(Option.isNone(yield* call.receive))
    }),
  )

  live(
    "is told what is wrong, with code and details",
    Effect.gen(function* () {
      const { client } = yield* startCalling()
      for (const error of [
        yield* Effect.flip(client.unary(double, { number: -1 })),
        yield* Effect.flip(Stream.runDrain(client.serverStream(count, { number: -1 }))),
      ]) {
        assert.deepStrictEqual([error.code, error.details], [statusCode.OUT_OF_RANGE, "too small"])
        assert.include(Buffer.from(error.statusDetails!).toString("latin1"), "google.protobuf.Duration")
      }
      assert.isTrue((yield* Effect.flip(Stream.runDrain(client.serverStream(hang, {})))).isUnimplemented)
    }),
  )

  live(
    "sends what goes along, and as much as a message may have",
    Effect.gen(function* () {
      const { client } = yield* startCalling()
      const told = yield* client.unary(reflect, { key: "x-id" }, { metadata: { "x-id": "a, b" } })
      assert.strictEqual(told.text, "a, b")
      // More than ttrpc has by itself.
      const answer = yield* client.unary(payload, { data: new Uint8Array(10 * MIB), size: 10 * MIB })
      assert.deepStrictEqual([answer.received, answer.data.length], [10 * MIB, 10 * MIB])
    }),
  )

  live(
    "gives up what takes too long, and what it is not to answer any more, of which the host hears",
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const [late, given] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const { client } = yield* startCalling({
        reflect: () => Effect.onInterrupt(Effect.never, () => Deferred.succeed(late, undefined)),
        hang: () =>
          Stream.fromEffect(Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)).pipe(
            Stream.onExit(() => Deferred.succeed(given, undefined)),
          ),
      })
      const error = yield* Effect.flip(client.unary(reflect, {}, { metadata: { "x-seconds": "0.1" } }))
      assert.isTrue(error.isDeadline)
      yield* Deferred.await(late)
      const hanging = yield* Effect.forkChild(Stream.runDrain(client.serverStream(hang, {})))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(hanging)
      yield* Deferred.await(given)
      assert.strictEqual((yield* client.unary(double, { number: 1 })).number, 2)
    }),
  )

  live(
    "may ask much at once: as many calls are under way as a host takes, the others wait",
    Effect.gen(function* () {
      const full = yield* Deferred.make<void>()
      let [running, most] = [0, 0]
      const { client } = yield* startCalling({
        double: ({ number }) =>
          Effect.gen(function* () {
            most = Math.max(most, ++running)
            if (running === MAX_CONCURRENT_STREAMS) yield* Deferred.succeed(full, undefined)
            yield* Deferred.await(full)
            running--
            return { number: 2 * number }
          }),
      })
      assert.strictEqual((yield* client.unary(dialHost, { id: 3000 })).message, "3000")
      assert.strictEqual(most, MAX_CONCURRENT_STREAMS)
    }),
  )

  live(
    "is told that its host is gone in mid-call",
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      let connection: Duplex | undefined
      const service = implement(Test, {
        ...handlers,
        double: () => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never),
      })
      const serve = (socket: Duplex) => TtrpcServer.serve((connection = socket), [service])
      const { client } = yield* start(forwardingKind, { ttrpc: { serve } })
      const call = yield* client.bidi(stream)
      yield* call.send({ number: 1 })
      yield* call.receive
      const waiting = yield* Effect.forkChild(Effect.flip(client.unary(double, {})))
      yield* Deferred.await(begun)
      connection!.destroy()
      for (const error of [yield* Fiber.join(waiting), yield* Effect.flip(call.receive)]) {
        assert.deepStrictEqual(
          [error.code, error.details],
          [statusCode.UNAVAILABLE, "the connection to the host has ended"],
        )
      }
    }),
  )

  live(
    "finds nothing where its host serves nothing, and no channel over gRPC",
    Effect.gen(function* () {
      const silent = yield* start(forwardingKind, { ttrpc: {} })
      const error = yield* Effect.flip(silent.client.unary(double, { number: 1 }))
      assert.deepStrictEqual(
        [error.code, error.details],
        [statusCode.UNIMPLEMENTED, "there is no service grpctest.Test"],
      )
      // There it serves nothing itself.
      const { client, reattachConfig } = yield* start(forwardingKind)
      assert.strictEqual(reattachConfig.Protocol, "grpc")
      assert.isTrue((yield* Effect.flip(client.unary(double, { number: 1 }))).isUnimplemented)
    }),
  )
})
