/** Streams between our client and our server, over a real socket. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, type Scope, Stream } from "effect"
import { messages } from "../../src/rpc/RpcClient.ts"
import { RpcStatus, statusCode } from "../../src/rpc/RpcError.ts"
import type { Handlers } from "../../src/rpc/RpcHandler.ts"
import { STREAM_WINDOW } from "../../src/ttrpc/TtrpcLimits.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { connected, sumOf } from "../support/ttrpc.ts"

const { count, double, hang, stream, sum } = Test.method

const live = <E>(name: string, test: Effect.Effect<unknown, E, Scope.Scope>) => it.live(name, () => Effect.scoped(test))

const numbers = (last: number) => Stream.map(Stream.range(1, last), (number) => ({ number }))

const handlers: Handlers<typeof Test> = {
  double: ({ number }) => Effect.succeed({ number: 2 * number }),
  count: ({ number }) =>
    number < 0
      ? Stream.concat(
          Stream.make({ number: 1 }),
          Stream.fail(new RpcStatus({ code: statusCode.ABORTED, details: "enough" })),
        )
      : numbers(number),
  sum: sumOf,
  stream: (call) => Stream.runForEach(messages(call), ({ number }) => call.send({ number: 2 * number })),
}

describe.skipIf(process.platform === "win32")("ttrpc, streams", () => {
  live(
    "go either way, and both ways at once, to their ends",
    Effect.gen(function* () {
      const { client } = yield* connected(handlers)
      const counted = yield* Stream.runCollect(client.serverStream(count, { number: 5000 }))
      assert.deepStrictEqual([counted.length, counted.at(-1)?.number], [5000, 5000])
      assert.deepStrictEqual(yield* Stream.runCollect(client.serverStream(count, { number: 0 })), [])
      assert.strictEqual((yield* client.clientStream(sum, numbers(5000))).sum, 12_502_500)
      assert.strictEqual((yield* client.clientStream(sum, Stream.empty)).sum, 0)
      const call = yield* client.bidi(stream)
      for (const number of [3, 0, 5]) {
        yield* call.send({ number })
        assert.strictEqual(Option.getOrThrow(yield* call.receive).number, 2 * number)
      }
      assert.deepStrictEqual(yield* call.headers, {})
      yield* call.end
      assert.isTrue(Option.isNone(yield* call.receive))
      assert.deepStrictEqual(yield* call.trailers, {})
      assert.strictEqual((yield* Effect.flip(call.send({ number: 1 }))).code, statusCode.UNKNOWN)
    }),
  )

  live(
    "carry as much as there is while others are called",
    Effect.gen(function* () {
      const { client } = yield* connected(handlers)
      const call = yield* client.bidi(stream)
      const sending = yield* Effect.forkChild(Effect.andThen(Stream.runForEach(numbers(20_000), call.send), call.end))
      const received = yield* Effect.forkChild(Stream.runCollect(messages(call)))
      for (let number = 0; number < 100; number++) {
        assert.strictEqual((yield* client.unary(double, { number })).number, 2 * number)
      }
      assert.strictEqual((yield* Fiber.join(received)).length, 20_000)
      yield* Fiber.join(sending)
    }),
  )

  live(
    "tell the handler's status after what it has sent, and what has no handler",
    Effect.gen(function* () {
      const { client } = yield* connected(handlers)
      const seen: Array<number> = []
      const aborted = yield* client.serverStream(count, { number: -1 }).pipe(
        Stream.runForEach(({ number }) => Effect.sync(() => seen.push(number))),
        Effect.flip,
      )
      assert.deepStrictEqual([seen, aborted.code, aborted.details], [[1], statusCode.ABORTED, "enough"])
      assert.isTrue((yield* Effect.flip(Stream.runDrain(client.serverStream(hang, {})))).isUnimplemented)
    }),
  )

  live(
    "end their handlers when nobody wants them any more, when their deadline passes, and with the connection",
    Effect.gen(function* () {
      const interrupted: Array<Deferred.Deferred<void>> = []
      for (let index = 0; index < 4; index++) interrupted.push(yield* Deferred.make<void>())
      let begun = 0
      const { client, ours } = yield* connected({
        hang: () => {
          const mine = interrupted[begun++]!
          return Stream.concat(Stream.make({}), Stream.never).pipe(
            Stream.onExit(() => Deferred.succeed(mine, undefined)),
          )
        },
        stream: (call) => {
          const mine = interrupted[begun++]!
          return Effect.ensuring(
            Effect.andThen(call.send({ number: 1 }), Effect.never),
            Deferred.succeed(mine, undefined),
          )
        },
      })
      yield* Stream.runHead(client.serverStream(hang, {}))
      yield* Deferred.await(interrupted[0]!)
      yield* Effect.scoped(Effect.flatMap(client.bidi(stream), ({ receive }) => receive))
      yield* Deferred.await(interrupted[1]!)
      const late = yield* Effect.flip(Stream.runDrain(client.serverStream(hang, {}, { deadline: 100 })))
      assert.isTrue(late.isDeadline)
      yield* Deferred.await(interrupted[2]!)
      const call = yield* client.bidi(stream)
      yield* call.receive
      ours.destroy()
      assert.strictEqual((yield* Effect.flip(call.receive)).code, statusCode.UNAVAILABLE)
      assert.strictEqual((yield* Effect.flip(call.send({ number: 1 }))).code, statusCode.UNAVAILABLE)
      yield* Deferred.await(interrupted[3]!)
    }),
  )

  live(
    "don't begin with what can't be sent, and end with what is too large",
    Effect.gen(function* () {
      const { client } = yield* connected(handlers, 1000)
      const bad = yield* client.bidi(stream, { metadata: { "no good": "" } })
      assert.strictEqual((yield* Effect.flip(bad.receive)).code, statusCode.INVALID_ARGUMENT)
      const large = { metadata: { "x-large": "x".repeat(1000) } }
      const refused = yield* Effect.flip(Stream.runDrain(client.serverStream(count, { number: 1 }, large)))
      assert.strictEqual(refused.code, statusCode.RESOURCE_EXHAUSTED)
    }),
  )

  live(
    "whose reader does not read fail, and let the others go on",
    Effect.gen(function* () {
      const { client } = yield* connected(handlers)
      const unread = yield* client.bidi(count)
      yield* unread.send({ number: 1_000_000 })
      assert.strictEqual((yield* Effect.flip(unread.trailers)).code, statusCode.RESOURCE_EXHAUSTED)
      assert.strictEqual((yield* client.unary(double, { number: 2 })).number, 4)
      assert.strictEqual((yield* Effect.flip(unread.receive)).code, statusCode.RESOURCE_EXHAUSTED)
    }),
  )

  live(
    "whose handler does not read fail as well",
    Effect.gen(function* () {
      const ended = yield* Deferred.make<void>()
      const { client } = yield* connected({
        ...handlers,
        sum: () => Effect.ensuring(Effect.never, Deferred.succeed(ended, undefined)),
      })
      const call = yield* client.bidi(sum)
      for (let number = 0; number < 3 * STREAM_WINDOW; number++) yield* call.send({ number })
      const refused = yield* Effect.flip(call.receive)
      assert.strictEqual(refused.code, statusCode.RESOURCE_EXHAUSTED)
      yield* Deferred.await(ended)
      assert.strictEqual((yield* client.unary(double, { number: 2 })).number, 4)
    }),
  )
})
