/** Clients that keep to no protocol: raw sockets against our server. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, type Scope, Stream } from "effect"
import { messages } from "../../src/rpc/RpcClient.ts"
import { statusCode } from "../../src/rpc/RpcError.ts"
import { type Handlers, implement } from "../../src/rpc/RpcHandler.ts"
import { MAX_CONCURRENT_STREAMS } from "../../src/rpc/RpcLimits.ts"
import { frameType } from "../../src/ttrpc/Frame.ts"
import { MAX_METADATA_ENTRIES, STREAM_WINDOW } from "../../src/ttrpc/TtrpcLimits.ts"
import * as TtrpcServer from "../../src/ttrpc/TtrpcServer.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { recordLog } from "../support/log.ts"
import { socketPair } from "../support/socketPair.ts"
import { cancel, frame, number, reading, request } from "../support/ttrpcFrames.ts"
import { sumOf } from "../support/ttrpc.ts"

const { DATA, REQUEST, RESPONSE } = frameType

const live = <E>(name: string, test: Effect.Effect<unknown, E, Scope.Scope>) => it.live(name, () => Effect.scoped(test))

const handlers: Handlers<typeof Test> = {
  double: ({ number }) => (number === 1000 ? Effect.never : Effect.succeed({ number: 2 * number })),
  hang: () => Stream.never,
  count: ({ number }) => Stream.map(Stream.range(1, number), (number) => ({ number })),
  sum: sumOf,
  stream: (call) => Stream.runForEach(messages(call), ({ number }) => call.send({ number: 2 * number })),
}

/** A raw client of our server. */
const rawClient = Effect.fnUntraced(function* (own: Handlers<typeof Test> = handlers) {
  const [socket, theirs] = yield* socketPair
  const { ended } = yield* TtrpcServer.serve(theirs, [implement(Test, own)])
  const send = (...frames: ReadonlyArray<Uint8Array>) => Effect.sync(() => socket.write(Buffer.concat(frames)))
  return { socket, send, ended, ...reading(socket) }
})

const { DEADLINE_EXCEEDED, INVALID_ARGUMENT, OK, RESOURCE_EXHAUSTED } = statusCode

describe.skipIf(process.platform === "win32")("our server of a hostile client", () => {
  live(
    "takes frames in any pieces",
    Effect.gen(function* () {
      const { answer, socket } = yield* rawClient()
      const bytes = Buffer.concat([
        request(1, "Double", { payload: number(4) }),
        request(3, "Double", { payload: number(5), metadata: [{ key: "k", value: "x".repeat(100_000) }] }),
        request(5, "Double", { payload: number(6) }),
      ])
      for (let position = 0; position < bytes.length;) {
        const size = position < 500 ? 1 : 30_011
        const piece = bytes.subarray(position, position + size)
        yield* Effect.callback<void>((resume) => void socket.write(piece, () => resume(Effect.void)))
        position += size
      }
      for (const id of [1, 3, 5]) assert.deepStrictEqual(yield* answer, [id, OK])
    }),
  )

  live(
    "fails streams that are none, and goes on",
    Effect.gen(function* () {
      const { answer, send } = yield* rawClient()
      const wrong: ReadonlyArray<readonly [Buffer, number]> = [
        // An even id, a frame that is a server's, a type that there is not, and data of no stream.
        [request(2, "Double"), INVALID_ARGUMENT],
        [frame(1, RESPONSE, 0), INVALID_ARGUMENT],
        [frame(1, 77, 255, new Uint8Array(100)), INVALID_ARGUMENT],
        [frame(1, DATA, 0, number(1)), INVALID_ARGUMENT],
        [frame(0, DATA, 0), INVALID_ARGUMENT],
        // What is no request, and what is no message.
        [frame(3, REQUEST, 0, Buffer.from("garbage")), INVALID_ARGUMENT],
        [frame(5, REQUEST, 0, new Uint8Array([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])), INVALID_ARGUMENT],
        [request(7, "Double", { payload: Buffer.from("garbage") }), INVALID_ARGUMENT],
        [request(9, "Count", { payload: Buffer.from("garbage") }, 1), INVALID_ARGUMENT],
        // Ids that were there before.
        [request(9, "Double"), INVALID_ARGUMENT],
        [request(1, "Double"), INVALID_ARGUMENT],
        // A deadline that has passed.
        [request(11, "Double", { timeoutNano: -1n }), DEADLINE_EXCEEDED],
        [request(13, "Double", { timeoutNano: -(2n ** 63n) }), DEADLINE_EXCEEDED],
        [request(15, "Double", { timeoutNano: 2n ** 63n - 1n }), OK],
        [request(17, "Double", { payload: number(1000), timeoutNano: 1n }), DEADLINE_EXCEEDED],
        [cancel(19, 4711), OK],
        [request(21, "Cancel", { service: "plugin_supervisor.v1.Calls", payload: Buffer.from("x") }), INVALID_ARGUMENT],
        [
          request(23, "Double", {
            metadata: Array.from({ length: MAX_METADATA_ENTRIES + 1 }, () => ({ key: "k", value: "" })),
          }),
          INVALID_ARGUMENT,
        ],
        [request(25, "Double", { metadata: [{ key: "__proto__", value: "x" }] }), OK],
        [request(27, "__proto__"), statusCode.UNIMPLEMENTED],
        [request(29, "constructor", { service: "toString" }), statusCode.UNIMPLEMENTED],
      ]
      for (const [bytes, code] of wrong) {
        yield* send(bytes)
        const id = bytes.readUInt32BE(4)
        assert.deepStrictEqual(yield* answer, [id, code], bytes.toString("latin1"))
      }
    }),
  )

  live(
    "goes on with small ids after the largest",
    Effect.gen(function* () {
      const { answer, send } = yield* rawClient()
      for (const [id, code] of [
        [4_294_967_293, OK],
        [4_294_967_295, OK],
        [1, OK],
        [3, OK],
        [4_294_967_295, INVALID_ARGUMENT],
      ] as const) {
        yield* send(request(id, "Double"))
        assert.deepStrictEqual(yield* answer, [id, code])
      }
    }),
  )

  live(
    "ends a call whose stream is used wrongly, once",
    Effect.gen(function* () {
      const { answer, next, send } = yield* rawClient()
      const begun = request(1, "Double", { payload: number(1000) })
      yield* send(begun, frame(1, DATA, 0, number(1)), frame(1, DATA, 0, number(1)), frame(1, DATA, 5))
      assert.deepStrictEqual(yield* answer, [1, INVALID_ARGUMENT])
      yield* send(request(3, "Double", { payload: number(1000) }), request(3, "Double"))
      assert.deepStrictEqual(yield* answer, [3, INVALID_ARGUMENT])
      yield* send(request(5, "Sum", {}, 2), frame(5, DATA, 0, Buffer.from("garbage")))
      assert.deepStrictEqual(yield* answer, [5, INVALID_ARGUMENT])
      // A message after the end, of which the first time is by the opening frame.
      yield* send(request(7, "Hang", {}, 1), frame(7, DATA, 0, number(1)))
      assert.deepStrictEqual(yield* answer, [7, INVALID_ARGUMENT])
      yield* send(request(9, "Stream", {}, 2), frame(9, DATA, 5))
      assert.strictEqual((yield* next).flags, 5)
      // It has ended: what still comes is late, and nobody's.
      yield* send(frame(9, DATA, 0, number(1)), cancel(11, 9), request(13, "Double"))
      assert.deepStrictEqual(yield* answer, [11, OK])
      assert.deepStrictEqual(yield* answer, [13, OK])
    }),
  )

  live(
    "skips what is too large, whatever it belongs to",
    Effect.gen(function* () {
      const { answer, send } = yield* rawClient()
      const large = 5_000_000
      yield* send(frame(1, REQUEST, 0, new Uint8Array(large)))
      assert.deepStrictEqual(yield* answer, [1, RESOURCE_EXHAUSTED])
      yield* send(request(3, "Sum", {}, 2), frame(3, DATA, 0, new Uint8Array(large)))
      assert.deepStrictEqual(yield* answer, [3, RESOURCE_EXHAUSTED])
      yield* send(frame(5, DATA, 0, new Uint8Array(large)), request(7, "Double"))
      assert.deepStrictEqual(yield* answer, [5, RESOURCE_EXHAUSTED])
      assert.deepStrictEqual(yield* answer, [7, OK])
    }),
  )

  live(
    "ends a connection that carries something else, and says so",
    Effect.gen(function* () {
      const log = recordLog()
      const { closed, ended, send } = yield* rawClient().pipe(Effect.provide(log.layer))
      yield* send(Buffer.from("Traceback (most recent call last):\n"))
      assert.include(yield* ended, "is none")
      yield* closed
      assert.include(log.messages().join("\n"), "the connection of a ttrpc client was ended")
    }),
  )

  live(
    "interrupts handlers when the connection ends in the middle of a frame",
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const begun = yield* Deferred.make<void>()
      const { send, socket } = yield* rawClient({
        double: () =>
          Effect.onInterrupt(Effect.andThen(Deferred.succeed(begun, undefined), Effect.never), () =>
            Deferred.succeed(interrupted, undefined),
          ),
      })
      yield* send(request(1, "Double"), request(3, "Double").subarray(0, 15))
      yield* Deferred.await(begun)
      socket.end()
      yield* Deferred.await(interrupted)
    }),
  )

  live(
    "has a bound for calls, for streams that nobody reads, and for what it is asked by one who does not read",
    Effect.gen(function* () {
      let answered = 0
      const { answer, next, send, socket } = yield* rawClient({
        ...handlers,
        payload: ({ size }) =>
          Effect.sync(() => {
            answered++
            return { data: new Uint8Array(size) }
          }),
        sum: () => Effect.never,
      })
      const many = Array.from({ length: MAX_CONCURRENT_STREAMS }, (_, index) =>
        request(2 * index + 1, "Double", { payload: number(1000) }),
      )
      const last = 2 * MAX_CONCURRENT_STREAMS + 1
      yield* send(...many, request(last, "Double"))
      assert.deepStrictEqual(yield* answer, [last, RESOURCE_EXHAUSTED])
      // One that is given up makes room.
      yield* send(cancel(last + 2, 1), request(last + 4, "Sum", {}, 2))
      assert.deepStrictEqual(yield* answer, [1, statusCode.CANCELLED])
      assert.deepStrictEqual(yield* answer, [last + 2, OK])
      yield* send(...Array.from({ length: STREAM_WINDOW + 1 }, () => frame(last + 4, DATA, 0, number(1))))
      assert.deepStrictEqual(yield* answer, [last + 4, RESOURCE_EXHAUSTED])
      // Nothing more is answered while the answers are not read.
      socket.pause()
      // `size: 100_000`
      const payload = new Uint8Array([16, 0xa0, 0x8d, 0x06])
      yield* send(...Array.from({ length: 1000 }, (_, index) => request(last + 6 + 2 * index, "Payload", { payload })))
      yield* Effect.callback<void>((resume) => {
        const look = (before: number) => {
          if (answered > 0 && answered === before) resume(Effect.void)
          else setTimeout(look, 200, answered)
        }
        look(-1)
      })
      assert.isBelow(answered, 100)
      socket.resume()
      for (let index = 0; index < 1000; index++) yield* next
      assert.strictEqual(answered, 1000)
    }),
  )
})
