/** Streams of every kind. */
import { Effect, Option, Stream } from "effect"
import type { RpcClient } from "effect-plugin-supervisor/goplugin"
import { Calculator } from "./generated/calculator/calculator_pb.js"

const { count, running, total } = Calculator.method

export const streams = Effect.fn("streams")(function* (client: RpcClient) {
  // From the plugin: a Stream, cancelled as soon as nobody consumes it any more.
  const counted = yield* Stream.runCollect(client.serverStream(count, { to: 3 }))
  yield* Effect.log(`counted to ${counted.map(({ value }) => value).join(", ")}`)

  // To the plugin, as fast as it takes them. An int64 is a bigint.
  const sent = yield* client.clientStream(total, Stream.make({ value: 1n }, { value: 2n }))
  yield* Effect.log(`a total of ${sent.total}`)

  // Both ways, in whatever order; cancelled when the Scope closes, or when the deadline passes.
  const call = yield* client.bidi(running, { deadline: "10 seconds" })
  for (const value of [3n, 4n]) {
    yield* call.send({ value })
    const answer = Option.getOrThrow(yield* call.receive)
    yield* Effect.log(`running at ${answer.total}`)
  }
  yield* call.end
}, Effect.scoped)
