/** Servers that keep to no protocol: raw sockets against our client. */
import { create, toBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, type Scope, Stream } from "effect"
import { ResponseSchema } from "../../src/generated/ttrpc/ttrpc_pb.js"
import { statusCode } from "../../src/rpc/RpcError.ts"
import { frameType } from "../../src/ttrpc/Frame.ts"
import * as TtrpcClient from "../../src/ttrpc/TtrpcClient.ts"
import { DoubleResponseSchema, Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { recordLog } from "../support/log.ts"
import { socketPair } from "../support/socketPair.ts"
import { frame, number, reading } from "../support/ttrpcFrames.ts"

const { count, double, payload, stream } = Test.method
const { RESOURCE_EXHAUSTED } = statusCode
const { DATA, REQUEST, RESPONSE } = frameType
const DEADLINE = { deadline: "20 seconds" } as const

const live = <E>(name: string, test: Effect.Effect<unknown, E, Scope.Scope>) => it.live(name, () => Effect.scoped(test))

/** Our client of a raw server. */
const rawServer = Effect.fnUntraced(function* (options: TtrpcClient.ClientOptions = {}) {
  const [socket, ours] = yield* socketPair
  const client = yield* TtrpcClient.make(ours, options)
  const send = (...frames: ReadonlyArray<Uint8Array>) => Effect.sync(() => socket.write(Buffer.concat(frames)))
  return { client, socket, send, ...reading(socket) }
})

const doubled = (id: number, number: number) =>
  frame(
    id,
    RESPONSE,
    0,
    toBinary(
      ResponseSchema,
      create(ResponseSchema, {
        payload: toBinary(DoubleResponseSchema, create(DoubleResponseSchema, { number })),
      }),
    ),
  )

const failed = (id: number, code: number) =>
  frame(id, RESPONSE, 0, toBinary(ResponseSchema, create(ResponseSchema, { status: { code, message: "so" } })))

describe.skipIf(process.platform === "win32")("our client of a hostile server", () => {
  live(
    "fails the calls that are not answered as they should be, and goes on",
    Effect.gen(function* () {
      const { client, next, send } = yield* rawServer()
      const wrong: ReadonlyArray<readonly [(id: number) => Buffer, number]> = [
        [(id) => frame(id, RESPONSE, 0, Buffer.from("garbage")), statusCode.INTERNAL],
        [(id) => frame(id, RESPONSE, 0, new Uint8Array([18, 200])), statusCode.INTERNAL],
        [(id) => frame(id, RESPONSE, 0, new Uint8Array([18, 1, 255])), statusCode.INTERNAL],
        [(id) => frame(id, DATA, 0, number(1)), statusCode.INTERNAL],
        [(id) => frame(id, REQUEST, 0, number(1)), statusCode.INTERNAL],
        [(id) => frame(id, 99, 0), statusCode.INTERNAL],
        [(id) => frame(id, RESPONSE, 0, new Uint8Array(5_000_000)), RESOURCE_EXHAUSTED],
        [(id) => failed(id, 17), statusCode.UNKNOWN],
        [(id) => failed(id, -1), statusCode.UNKNOWN],
        [(id) => failed(id, 2_147_483_647), statusCode.UNKNOWN],
        [(id) => failed(id, 5), statusCode.NOT_FOUND],
      ]
      const streamOnly: typeof wrong = [
        [(id) => frame(id, DATA, 0, Buffer.from("garbage")), statusCode.INTERNAL],
        [(id) => frame(id, DATA, 0, new Uint8Array(5_000_000)), RESOURCE_EXHAUSTED],
        [(id) => Buffer.concat([frame(id, DATA, 0, number(1)), frame(id, 99, 0)]), statusCode.INTERNAL],
      ]
      const unary = Effect.asVoid(client.unary(double, { number: 1 }, DEADLINE))
      const streaming = Stream.runDrain(client.serverStream(count, { number: 1 }, DEADLINE))
      const inStream = wrong.filter(([answer]) => answer(1)[8] !== DATA).concat(streamOnly)
      const cases = [
        ...wrong.map(([answer, code]) => [unary, answer, code] as const),
        ...inStream.map(([answer, code]) => [streaming, answer, code] as const),
      ]
      for (const [call, answer, code] of cases) {
        const error = yield* Effect.forkChild(Effect.flip(call))
        let asked = yield* next
        // A call that ended without its answer is given up.
        while (asked.data.includes("plugin_supervisor.v1.Calls")) asked = yield* next
        // What belongs to no call is nobody's.
        yield* send(answer(0), answer(asked.id + 2000), answer(asked.id), answer(asked.id))
        assert.strictEqual((yield* Fiber.join(error)).code, code, answer(1).subarray(0, 30).toString("latin1"))
      }
      const well = yield* Effect.forkChild(client.unary(double, { number: 1 }, DEADLINE))
      let asked = yield* next
      while (asked.data.includes("plugin_supervisor.v1.Calls")) asked = yield* next
      yield* send(doubled(asked.id, 2))
      assert.strictEqual((yield* Fiber.join(well)).number, 2)
    }),
  )

  live(
    "loses a connection that carries something else, with all calls, and says so",
    Effect.gen(function* () {
      const log = recordLog()
      const { client, closed, next, send } = yield* rawServer({ target: "the fixture" }).pipe(Effect.provide(log.layer))
      const call = yield* Effect.forkChild(Effect.flip(client.unary(double, { number: 1 })))
      yield* next
      yield* send(Buffer.from("Hello from a print\n"))
      const error = yield* Fiber.join(call)
      assert.strictEqual(error.code, statusCode.UNAVAILABLE)
      assert.include(error.details, "is none")
      assert.include(log.messages().join("\n"), "the ttrpc connection to the fixture was ended")
      yield* closed
    }),
  )

  live(
    "is not kept from its deadlines by one that does not read, and holds back what it would send",
    Effect.gen(function* () {
      const { client, socket } = yield* rawServer()
      socket.pause()
      const data = new Uint8Array(100_000)
      const errors = yield* Effect.forEach(
        Array.from({ length: 200 }),
        () => Effect.flip(client.unary(payload, { data }, { deadline: 300 })),
        { concurrency: "unbounded" },
      )
      assert.isTrue(errors.every(({ isDeadline }) => isDeadline))
      // 20 MB were asked to be sent; only what fits was.
      let received = 0
      socket.on("data", (chunk: Buffer) => (received += chunk.length))
      socket.resume()
      const call = yield* client.bidi(stream, DEADLINE)
      yield* call.send({ number: 1 })
      assert.isBelow(received, 5_000_000)
    }),
  )

  live(
    "has a bound for a stream that floods, and takes back what it gave the others",
    Effect.gen(function* () {
      const { client, next, send } = yield* rawServer()
      const call = yield* client.bidi(stream)
      const { id } = yield* next
      const flood = Buffer.concat(Array.from({ length: 10_000 }, () => frame(id, DATA, 0, number(1))))
      for (let round = 0; round < 20; round++) yield* send(flood)
      assert.strictEqual((yield* Effect.flip(call.trailers)).code, RESOURCE_EXHAUSTED)
      const well = yield* Effect.forkChild(client.unary(double, { number: 1 }, DEADLINE))
      assert.include((yield* next).data.toString("latin1"), "Cancel")
      yield* send(doubled((yield* next).id, 2))
      assert.strictEqual((yield* Fiber.join(well)).number, 2)
    }),
  )
})
