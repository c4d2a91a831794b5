/** Peers that break ttrpc, in both directions, by the thousands: whatever they send, every call ends, and nothing stays. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { messages } from "../../src/rpc/RpcClient.ts"
import { type Handlers, implement } from "../../src/rpc/RpcHandler.ts"
import * as TtrpcClient from "../../src/ttrpc/TtrpcClient.ts"
import * as TtrpcServer from "../../src/ttrpc/TtrpcServer.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { rounds } from "../support/soak.ts"
import { socketPair } from "../support/socketPair.ts"
import { cancel, frame, number, request } from "../support/ttrpcFrames.ts"

const { count, double, stream, sum } = Test.method

const ROUNDS = rounds(300, 5000)
const LIMIT = 100_000

/** A failure is had again with `SEED=<the seed it names>`. */
const SEED = Number(process.env["SEED"] ?? Date.now() % 1_000_000_000)

/** Numbers at random that are the same for the same seed (mulberry32). */
const randomly = (seed: number) => {
  let state = seed
  const below = (end: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % end
  }
  const oneOf = <A>(all: ReadonlyArray<A>): A => all[below(all.length)]!
  return { below, oneOf }
}

type Random = ReturnType<typeof randomly>

const METHODS = ["Double", "Count", "Sum", "Stream", "Hang", "Nothing"]

/** Some frames, of which every other connection has one that is damaged. */
const bytes = ({ below, oneOf }: Random, ids: ReadonlyArray<number>): Buffer => {
  const frames = Array.from({ length: 1 + below(12) }, () => {
    const id = oneOf(ids)
    const data = oneOf([new Uint8Array(), number(below(20)), Buffer.from("garbage"), new Uint8Array(below(2 * LIMIT))])
    const timeoutNano = oneOf([0n, 0n, 1n, 1_000_000n, -5n])
    return oneOf([
      () => request(id, oneOf(METHODS), { payload: number(below(20)), timeoutNano }, below(4)),
      () => request(id, oneOf(METHODS), { payload: data }, below(4)),
      () => cancel(id, oneOf(ids)),
      () => frame(id, below(5), below(8), data),
      () => frame(id, 2, 0, new Uint8Array([18, data.length % 128, ...data.subarray(0, data.length % 128)])),
    ])()
  })
  const all = Buffer.concat(frames)
  for (let damages = below(2) * below(5); damages > 0; damages--) all[below(all.length)] = below(256)
  return all.subarray(0, all.length - (below(3) === 0 ? below(all.length) : 0))
}

describe.skipIf(process.platform === "win32")("ttrpc", { timeout: 60_000 + 100 * ROUNDS }, () => {
  it.live("random requests to a server: the connection ends, and no handler goes on", () =>
    Effect.gen(function* () {
      let running = 0
      const counted = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.acquireUseRelease(
          Effect.sync(() => running++),
          () => effect,
          () => Effect.sync(() => running--),
        )
      const handlers: Handlers<typeof Test> = {
        double: ({ number }) => counted(number < 10 ? Effect.never : Effect.succeed({ number })),
        count: ({ number }) => Stream.map(Stream.range(1, Math.min(1000, number)), (number) => ({ number })),
        sum: (requests) => counted(Effect.as(Effect.ignore(Stream.runDrain(requests)), { sum: 0 })),
        stream: (call) =>
          counted(Stream.runForEach(messages(call), ({ number }) => Effect.ignore(call.send({ number })))),
        hang: () => Stream.fromEffect(counted(Effect.never)),
      }
      for (let round = 0; round < ROUNDS; round++) {
        const random = randomly(SEED + round)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const [raw, socket] = yield* socketPair
            const { ended } = yield* TtrpcServer.serve(socket, [implement(Test, handlers)], { maxFrameSize: LIMIT })
            raw.on("error", () => {})
            raw.resume()
            raw.end(bytes(random, [1, 3, 5, 7, 9, 2, 4_294_967_295]))
            yield* ended
          }),
        )
        assert.strictEqual(running, 0, `to see it again: SEED=${SEED + round}`)
      }
    }),
  )

  it.live("random answers of a server: every call ends", () =>
    Effect.gen(function* () {
      for (let round = 0; round < ROUNDS; round++) {
        const random = randomly(SEED + round)
        const exits = yield* Effect.scoped(
          Effect.gen(function* () {
            const [raw, socket] = yield* socketPair
            const client = yield* TtrpcClient.make(socket, { maxFrameSize: LIMIT })
            raw.on("error", () => {})
            raw.once("data", () => {
              raw.resume()
              raw.end(bytes(random, [1, 3, 5, 7]))
            })
            return yield* Effect.all(
              [
                client.unary(double, { number: 1 }),
                Stream.runDrain(client.serverStream(count, { number: 1 })),
                client.clientStream(sum, Stream.make({ number: 1 })),
                Effect.scoped(Effect.flatMap(client.bidi(stream), (call) => Stream.runDrain(messages(call)))),
              ].map((call: Effect.Effect<unknown, { readonly code: number }>) =>
                Effect.flip(Effect.asVoid(call)).pipe(Effect.ignore),
              ),
              { concurrency: "unbounded" },
            ).pipe(Effect.timeoutOption("20 seconds"))
          }),
        )
        assert.strictEqual(exits._tag, "Some", `to see it again: SEED=${SEED + round}`)
      }
    }),
  )
})
