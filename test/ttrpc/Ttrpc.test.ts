/** Our client and our server, over a real socket; other people's are in Interop, HostileClient and HostileServer. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Scope, Tracer } from "effect"
import { RpcStatus, statusCode } from "../../src/rpc/RpcError.ts"
import { type Handlers, implement } from "../../src/rpc/RpcHandler.ts"
import * as TtrpcClient from "../../src/ttrpc/TtrpcClient.ts"
import * as TtrpcServer from "../../src/ttrpc/TtrpcServer.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { recordLog } from "../support/log.ts"
import { socketPair } from "../support/socketPair.ts"
import { connected } from "../support/ttrpc.ts"

const { double, environment, payload, printKV, reflect } = Test.method

const live = <E>(name: string, test: Effect.Effect<unknown, E, Scope.Scope>) => it.live(name, () => Effect.scoped(test))

const doubling: Handlers<typeof Test> = {
  double: ({ number }) => Effect.succeed({ number: 2 * number }),
}

describe.skipIf(process.platform === "win32")("ttrpc, unary", () => {
  live(
    "answers calls, and many at once",
    Effect.gen(function* () {
      const { client } = yield* connected({
        double: ({ number }) => Effect.as(Effect.yieldNow, { number: 2 * number }),
      })
      assert.strictEqual((yield* client.unary(double, { number: 4 })).number, 8)
      const numbers = Array.from({ length: 5000 }, (_, number) => number)
      const answers = yield* Effect.forEach(numbers, (number) => client.unary(double, { number }), {
        concurrency: "unbounded",
      })
      assert.deepStrictEqual(
        answers.map(({ number }) => number),
        numbers.map((number) => 2 * number),
      )
    }),
  )

  live(
    "tells a handler's status with its details, and hides what nobody expected",
    Effect.gen(function* () {
      const log = recordLog()
      // google.rpc.Status: code 9, and one detail of a type without a value.
      const details = new Uint8Array([8, 9, 26, 3, 10, 1, 97])
      const { client } = yield* connected({
        double: () => Effect.fail(new RpcStatus({ code: 9, details: "so?", statusDetails: details })),
        reflect: () => Effect.die(new Error("a secret")),
        payload: () => Effect.fail(new RpcStatus({ code: 0, details: `\ud83d${"x".repeat(50_000)}` })),
      }).pipe(Effect.provide(log.layer))
      const refused = yield* Effect.flip(client.unary(double, { number: 1 }))
      assert.deepStrictEqual([refused.code, refused.details], [statusCode.FAILED_PRECONDITION, "so?"])
      assert.deepStrictEqual([...refused.statusDetails!].slice(-5), [26, 3, 10, 1, 97])
      const failed = yield* Effect.flip(client.unary(reflect, { key: "x" }))
      assert.deepStrictEqual([failed.code, failed.details], [statusCode.INTERNAL, "internal error of the host"])
      assert.include(log.messages().join("\n"), "a ttrpc handler failed unexpectedly")
      const unknown = yield* Effect.flip(client.unary(payload, {}))
      assert.deepStrictEqual([unknown.code, unknown.details.length], [statusCode.UNKNOWN, 1501])
      assert.isTrue((yield* Effect.flip(client.unary(environment, { name: "X" }))).isUnimplemented)
    }),
  )

  live(
    "sends along what a caller says, and the trace",
    Effect.gen(function* () {
      let seen: { readonly [key: string]: unknown } = {}
      let parent: Option.Option<Tracer.AnySpan> = Option.none()
      const { client } = yield* connected({
        double: Effect.fnUntraced(function* ({ number }, { metadata }) {
          seen = metadata
          parent = (yield* Effect.orDie(Effect.currentSpan)).parent
          return { number }
        }),
      })
      const bytes = new Uint8Array([0, 255, 7])
      const span = yield* Effect.orDie(
        Effect.withSpan(
          Effect.andThen(
            client.unary(double, { number: 1 }, { metadata: { "X-Id": "5", "x-bin": bytes } }),
            Effect.currentSpan,
          ),
          "caller",
        ),
      )
      assert.deepStrictEqual([seen["x-id"], seen["x-bin"]], ["5", bytes])
      assert.strictEqual(Option.getOrThrow(parent).spanId, span.spanId)
      const refused = yield* Effect.flip(client.unary(double, { number: 1 }, { metadata: { "no good": "" } }))
      assert.strictEqual(refused.code, statusCode.INVALID_ARGUMENT)
    }),
  )

  live(
    "makes a call without a trace a span of its own where somebody listens, and none where nobody does",
    Effect.gen(function* () {
      const seen: Array<Tracer.AnySpan | undefined> = []
      const ask = Effect.gen(function* () {
        const { client } = yield* Effect.withSpan(
          connected({
            double: ({ number }) =>
              Effect.map(Effect.option(Effect.currentParentSpan), (span) => {
                seen.push(Option.getOrUndefined(span))
                return { number }
              }),
          }),
          "the server is made",
        )
        yield* client.unary(double, { number: 1 })
      })
      yield* ask
      const tracer = Tracer.make({ span: (options) => new Tracer.NativeSpan(options) })
      yield* Effect.provideService(ask, Tracer.Tracer, tracer)
      assert.strictEqual(seen[0], undefined)
      const span = seen[1] as Tracer.Span
      assert.deepStrictEqual([span.name, span.kind], ["/grpctest.Test/Double", "server"])
      assert.isTrue(Option.isNone(span.parent))
    }),
  )

  live(
    "ends a call and its handler when the deadline passes, or the caller waits no longer",
    Effect.gen(function* () {
      const interrupted: Array<Deferred.Deferred<void>> = []
      const begun: Array<Deferred.Deferred<void>> = []
      for (let index = 0; index < 2; index++) {
        interrupted.push(yield* Deferred.make<void>())
        begun.push(yield* Deferred.make<void>())
      }
      const { client } = yield* connected({
        double: ({ number }) =>
          Deferred.succeed(begun[number]!, undefined).pipe(
            Effect.andThen(Effect.never),
            Effect.onInterrupt(() => Deferred.succeed(interrupted[number]!, undefined)),
          ),
        reflect: () => Effect.succeed({ text: "well" }),
      })
      const late = yield* Effect.flip(client.unary(double, { number: 0 }, { deadline: 50 }))
      assert.isTrue(late.isDeadline)
      yield* Deferred.await(interrupted[0]!)
      assert.isTrue((yield* Effect.flip(client.unary(double, { number: 0 }, { deadline: 0 }))).isDeadline)
      const fiber = yield* Effect.forkChild(client.unary(double, { number: 1 }))
      yield* Deferred.await(begun[1]!)
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(interrupted[1]!)
      assert.strictEqual((yield* client.unary(reflect, {}, { deadline: "1 hour" })).text, "well")
    }),
  )

  live(
    "fails a call alone that is too large, either way",
    Effect.gen(function* () {
      const { client } = yield* connected(
        {
          ...doubling,
          payload: ({ data, size }) => Effect.succeed({ data: new Uint8Array(size), received: data.length }),
        },
        100_000,
      )
      const fits = yield* client.unary(payload, { data: new Uint8Array(90_000), size: 90_000 })
      assert.deepStrictEqual([fits.received, fits.data.length], [90_000, 90_000])
      for (const request of [{ data: new Uint8Array(100_000) }, { size: 100_000 }]) {
        const refused = yield* Effect.flip(client.unary(payload, request))
        assert.strictEqual(refused.code, statusCode.RESOURCE_EXHAUSTED)
        assert.match(refused.details, /larger than max \(1000\d\d vs 100000\)/)
      }
      assert.strictEqual((yield* client.unary(double, { number: 4 })).number, 8)
    }),
  )

  live(
    "skips what the other side sends beyond the limit, and fails that call alone",
    Effect.gen(function* () {
      const [ours, theirs] = yield* socketPair
      const handlers: Handlers<typeof Test> = {
        ...doubling,
        payload: ({ size }) => Effect.succeed({ data: new Uint8Array(size) }),
      }
      yield* TtrpcServer.serve(theirs, [implement(Test, handlers)], { maxFrameSize: 200_000 })
      const client = yield* TtrpcClient.make(ours, { maxFrameSize: 100_000 })
      const refused = yield* Effect.flip(client.unary(payload, { size: 150_000 }))
      assert.strictEqual(refused.code, statusCode.RESOURCE_EXHAUSTED)
      assert.include(refused.details, "Received message larger than max")
      assert.strictEqual((yield* client.unary(double, { number: 4 })).number, 8)
    }),
  )

  live(
    "fails what is not answered when the connection ends, tells why, and what is called later",
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      const [ours, theirs] = yield* socketPair
      const { ended } = yield* TtrpcServer.serve(theirs, [
        implement(Test, {
          double: () =>
            Deferred.succeed(begun, undefined).pipe(
              Effect.andThen(Effect.never),
              Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined)),
            ),
        }),
      ])
      const client = yield* TtrpcClient.make(ours, {
        explainLoss: () => Effect.fail(new RpcStatus({ code: 14, details: "" }) as never),
      })
      const fiber = yield* Effect.forkChild(Effect.flip(client.unary(double, { number: 1 })))
      yield* Deferred.await(begun)
      ours.destroy()
      assert.strictEqual(((yield* Fiber.join(fiber)) as { readonly _tag: string })._tag, "RpcStatus")
      yield* client.disconnected
      yield* Deferred.await(interrupted)
      yield* ended
      yield* Effect.flip(client.unary(double, { number: 1 }))
    }),
  )

  live(
    "writes what handlers have answered before a server is closed, and then ends the connection",
    Effect.gen(function* () {
      const [ours, theirs] = yield* socketPair
      const scope = yield* Scope.make()
      const begun = yield* Deferred.make<void>()
      yield* TtrpcServer.serve(theirs, [
        implement(Test, {
          payload: () => Effect.succeed({ data: new Uint8Array(3_000_000) }),
          double: () => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never),
        }),
      ]).pipe(Scope.provide(scope))
      const client = yield* TtrpcClient.make(ours)
      const large = yield* Effect.forkChild(client.unary(payload, {}))
      const pending = yield* Effect.forkChild(Effect.flip(client.unary(double, { number: 1 })))
      yield* Deferred.await(begun)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(large)).data.length, 3_000_000)
      assert.strictEqual((yield* Fiber.join(pending)).code, statusCode.CANCELLED)
      yield* client.disconnected
      const later = yield* Effect.flip(client.unary(printKV, {}))
      assert.strictEqual(later.code, statusCode.UNAVAILABLE)
    }),
  )
})
