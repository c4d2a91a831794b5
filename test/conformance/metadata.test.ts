/** What goes along with calls, and how they fail: against plugins on current grpc-go and on our SDK. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { type RpcError, statusCode } from "../../src/goplugin/index.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { goKind, goPluginHost, type Kind, pythonKind, start, ttrpcKind } from "../support/goplugin.ts"

const { double, hang, reflect, reflectStream } = Test.method

const text = (bytes: string | Uint8Array | undefined) =>
  typeof bytes === "string" ? bytes : Buffer.from(bytes ?? []).toString()

/** Of an answer, where there is any: over ttrpc there is none. */
const sentBy = (kind: Kind, value: string) => (kind === ttrpcKind ? "" : value)

for (const kind of [goKind, pythonKind, ttrpcKind]) {
  describe.skipIf(kind.missing !== undefined)(`metadata of calls to a plugin in ${kind.name}`, () => {
    const live = <E>(name: string, test: Effect.Effect<unknown, E, any>) =>
      it.live(name, () => test.pipe(Effect.scoped, Effect.provide(goPluginHost)) as Effect.Effect<unknown, E>)

    live(
      "is sent, text and bytes, and what comes back is read",
      Effect.gen(function* () {
        const { client } = yield* start(kind)
        const metadata = { "X-Multiplex-ID": "seven", "x-key-bin": new Uint8Array(Buffer.from("raw")) }
        const answer = yield* client.unaryAnswer(reflect, { key: "x-multiplex-id" }, { metadata })
        assert.deepStrictEqual(
          [answer.message.text, text(answer.headers["x-header"]), text(answer.trailers["x-trailer-bin"])],
          ["seven", sentBy(kind, "seven"), sentBy(kind, "seven")],
        )
        assert.strictEqual((yield* client.unary(reflect, { key: "x-key-bin" }, { metadata })).text, "raw")
      }),
    )

    live(
      "goes with streams as well",
      Effect.gen(function* () {
        const { client } = yield* start(kind)
        const metadata = { "x-id": "eight" }
        const received = yield* Stream.runCollect(client.serverStream(reflectStream, { key: "x-id" }, { metadata }))
        assert.deepStrictEqual(
          [...received].map(({ text }) => text),
          ["eight"],
        )
        const call = yield* client.bidi(reflectStream, { metadata })
        yield* call.send({ key: "x-id" })
        yield* call.end
        assert.strictEqual(text((yield* call.headers)["x-header"]), sentBy(kind, "eight"))
        assert.strictEqual(Option.getOrThrow(yield* call.receive).text, "eight")
        assert.isTrue(Option.isNone(yield* call.receive))
        assert.strictEqual(text((yield* call.trailers)["x-trailer-bin"]), sentBy(kind, "eight"))
      }),
    )

    live(
      "comes with errors, and so do a status' details",
      Effect.gen(function* () {
        const { client } = yield* start(kind)
        const request = { key: "x-id", fail: statusCode.FAILED_PRECONDITION }
        const options = { metadata: { "x-id": "nine" } }
        const errors: ReadonlyArray<RpcError> = [
          yield* Effect.flip(client.unary(reflect, request, options)),
          yield* Effect.flip(client.unaryAnswer(reflect, request, options)),
          yield* Effect.flip(Stream.runDrain(client.serverStream(reflectStream, request, options))),
        ]
        for (const error of errors) {
          assert.deepStrictEqual([error.code, error.details], [statusCode.FAILED_PRECONDITION, "told to"])
          assert.strictEqual(text(error.trailers["x-trailer-bin"]), sentBy(kind, "nine"))
          // Field 1, a number: google.rpc.Status' own code.
          assert.deepStrictEqual([...error.statusDetails!.subarray(0, 2)], [8, statusCode.FAILED_PRECONDITION])
        }
      }),
    )

    live(
      "that can't be sent fails its call alone, whatever kind it is",
      Effect.gen(function* () {
        const { client } = yield* start(kind)
        for (const metadata of [
          { connection: "close" },
          { "grpc-timeout": "1S" },
          { "no good": "x" },
          { text: "na\u00efve" },
          { "bytes-bin": "text" },
          { bytes: new Uint8Array(1) },
          { long: "x".repeat(20_000) },
        ]) {
          const what = JSON.stringify(metadata).slice(0, 50)
          const unary = yield* Effect.flip(client.unary(double, { number: 1 }, { metadata }))
          assert.strictEqual(unary.code, statusCode.INVALID_ARGUMENT, what)
          const stream = yield* Effect.flip(Stream.runDrain(client.serverStream(reflectStream, {}, { metadata })))
          assert.strictEqual(stream.code, statusCode.INVALID_ARGUMENT, what)
        }
        assert.strictEqual((yield* client.unary(double, { number: 1 })).number, 2)
      }),
    )

    live(
      "a stream's deadline ends it",
      Effect.gen(function* () {
        const { client } = yield* start(kind)
        const error = yield* Effect.flip(Stream.runDrain(client.serverStream(hang, {}, { deadline: "200 millis" })))
        assert.isTrue(error.isDeadline)
        const call = yield* client.bidi(hang, { deadline: "200 millis" })
        yield* call.send({})
        assert.isTrue((yield* Effect.flip(call.receive)).isDeadline)
      }),
    )
  })
}
