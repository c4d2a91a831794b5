/** Our clients, and servers that answer what no server should; by the thousands they are in test/faults. */
import { createServer, type Socket } from "node:net"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as GrpcClient from "../../src/grpc/GrpcClient.ts"
import type { RpcClient } from "../../src/rpc/RpcClient.ts"
import { fromUnknown } from "../../src/grpc/GrpcError.ts"
import { statusCode } from "../../src/rpc/RpcError.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { block, data, FLAG, frame, headers, message, PREFACE, reader, TYPE, uint32 } from "../fixtures/http2/frames.ts"
import { temporaryFolder } from "../support/folder.ts"

const { count, double, sum } = Test.method
const MIB = 1024 * 1024

/** A server that gives one answer to whatever is asked, and the client of it. */
const answering = Effect.fnUntraced(function* (
  answer: (stream: number, socket: Socket) => ReadonlyArray<Buffer>,
  options?: GrpcClient.ClientOptions,
) {
  const path = join(yield* temporaryFolder, "server")
  const sockets = new Set<Socket>()
  yield* Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const server = createServer((socket) => {
        sockets.add(socket)
        socket.on("error", () => {})
        socket.write(frame(TYPE.settings, 0, 0))
        const read = reader((type, flags, stream) => {
          if (type === TYPE.settings && flags === 0) socket.write(frame(TYPE.settings, FLAG.ack, 0))
          if (type === TYPE.headers) for (const part of answer(stream, socket)) socket.write(part)
        }, PREFACE.length)
        socket.on("data", read)
      })
      server.listen(path, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.close()
        for (const socket of sockets) socket.destroy()
      }),
  )
  return yield* GrpcClient.make(`unix:${path}`, options)
})

const head = (stream: number, ...more: ReadonlyArray<readonly [string, string]>) =>
  headers(stream, [[":status", "200"], ["content-type", "application/grpc"], ...more])
const trailers = (stream: number, ...list: ReadonlyArray<readonly [string, string]>) =>
  headers(stream, list, FLAG.endStream)
/** `number: 42`. */
const FORTY_TWO = message(Buffer.from([8, 42]))

const called = (client: RpcClient) => client.unary(double, { number: 1 }, { deadline: "20 seconds" })

describe("a call's error", () => {
  it("is the deadline's where the server cancels the call for it before our timer does", () => {
    const error = (deadline?: number) => fromUnknown("m", { code: statusCode.CANCELLED }, deadline).code
    assert.strictEqual(error(Date.now()), statusCode.DEADLINE_EXCEEDED)
    assert.strictEqual(error(Date.now() + 60_000), statusCode.CANCELLED)
    assert.strictEqual(error(), statusCode.CANCELLED)
  })
})

/** `RST_STREAM` with the code NO_ERROR. */
const resetWithoutError = (stream: number) => frame(TYPE.reset, 0, stream, uint32(0))

describe.skipIf(process.platform === "win32")("GrpcClient", () => {
  const live = <E>(name: string, test: Effect.Effect<unknown, E, any>) =>
    it.live(name, () => Effect.scoped(test) as Effect.Effect<unknown, E>)

  live(
    "tells a call that ends without a word from one whose connection does",
    Effect.gen(function* () {
      const silent = yield* answering((stream) => [head(stream), resetWithoutError(stream)])
      assert.strictEqual((yield* Effect.flip(called(silent))).code, statusCode.INTERNAL)
      // grpc-js may say the same of both.
      const lost = yield* answering((stream, socket) => {
        setImmediate(() => socket.destroy())
        return [head(stream), resetWithoutError(stream)]
      })
      const { code, details } = yield* Effect.flip(called(lost))
      assert.strictEqual(code, statusCode.UNAVAILABLE, details)
    }),
  )

  live(
    "takes a status that is none for UNKNOWN, in every kind of call",
    Effect.gen(function* () {
      for (const status of ["abc", "17", "-1", "1.5", "99999999999999999999"]) {
        const client = yield* answering((stream) => [head(stream), trailers(stream, ["grpc-status", status])])
        const errors = [
          yield* Effect.flip(called(client)),
          yield* Effect.flip(client.unaryAnswer(double, { number: 1 })),
          yield* Effect.flip(Stream.runDrain(client.serverStream(count, { number: 1 }))),
          yield* Effect.flip(client.clientStream(sum, Stream.make({ number: 1 }))),
        ]
        for (const { code } of errors) assert.strictEqual(code, statusCode.UNKNOWN, status)
      }
    }),
  )

  live(
    "never takes an answer without a message, or with several, for the word that there is no such method",
    Effect.gen(function* () {
      for (const messages of [[], [FORTY_TWO, FORTY_TWO]]) {
        const client = yield* answering((stream) => [
          head(stream),
          ...messages.map((message) => data(stream, message)),
          trailers(stream, ["grpc-status", "0"]),
        ])
        const unaryAnswer = yield* Effect.flip(client.unaryAnswer(double, { number: 1 }))
        assert.strictEqual(unaryAnswer.code, statusCode.INTERNAL)
        const stream = yield* Effect.flip(client.clientStream(sum, Stream.make({ number: 1 })))
        assert.strictEqual(stream.code, statusCode.INTERNAL)
      }
      const silent = yield* answering((stream) => [head(stream), trailers(stream, ["grpc-status", "0"])])
      assert.strictEqual((yield* Effect.flip(called(silent))).code, statusCode.INTERNAL)
    }),
  )

  live(
    "lives through pushed streams, whose connection is lost, and lets go of the connection",
    Effect.gen(function* () {
      const request = block([
        [":method", "GET"],
        [":scheme", "http"],
        [":path", "/x"],
        [":authority", "x"],
      ])
      const push = (stream: number) =>
        Buffer.concat([
          frame(TYPE.pushPromise, FLAG.endHeaders, stream, Buffer.concat([uint32(2), request])),
          headers(2, [[":status", "200"]]),
        ])
      const lost = yield* answering((stream) => [
        push(stream),
        frame(TYPE.goAway, 0, 0, Buffer.concat([uint32(0), uint32(1)])),
      ])
      assert.strictEqual((yield* Effect.flip(called(lost))).code, statusCode.INTERNAL)
      let ended = false
      yield* Effect.scoped(
        Effect.gen(function* () {
          const client = yield* answering((stream, socket) => {
            socket.once("close", () => (ended = true))
            return [push(stream), head(stream), data(stream, FORTY_TWO), trailers(stream, ["grpc-status", "0"])]
          })
          assert.strictEqual((yield* called(client)).number, 42)
        }),
      )
      yield* Effect.sleep("10 millis").pipe(Effect.repeat({ while: () => !ended }), Effect.timeout("20 seconds"))
    }),
  )

  live(
    "unzips no more than its limit, and takes no longer message",
    Effect.gen(function* () {
      const bomb = gzipSync(Buffer.alloc(200 * MIB))
      const zipped = yield* answering(
        (stream) => [head(stream, ["grpc-encoding", "gzip"]), data(stream, message(bomb, 1))],
        { maxMessageSize: MIB },
      )
      const before = process.memoryUsage().rss
      assert.strictEqual((yield* Effect.flip(called(zipped))).code, statusCode.RESOURCE_EXHAUSTED)
      assert.isBelow(process.memoryUsage().rss - before, 128 * MIB)
      const announced = yield* answering(
        (stream) => [head(stream), data(stream, message(Buffer.alloc(5), 0, 2 * MIB))],
        {
          maxMessageSize: MIB,
        },
      )
      assert.strictEqual((yield* Effect.flip(called(announced))).code, statusCode.RESOURCE_EXHAUSTED)
    }),
  )

  live(
    "ends calls whose headers have no end",
    Effect.gen(function* () {
      const long = yield* answering((stream) => [head(stream, ["x-long", "y".repeat(100_000)])])
      assert.notStrictEqual((yield* Effect.flip(called(long))).code, statusCode.OK)
      const many = yield* answering((stream) => [
        head(stream, ...Array.from({ length: 500 }, (_, index) => [`x-${index}`, ""] as const)),
      ])
      assert.notStrictEqual((yield* Effect.flip(called(many))).code, statusCode.OK)
    }),
  )
})
