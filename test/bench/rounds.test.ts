/** What the bench makes of its measurements. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Figure, measureRatios } from "../../bench/ratios/rounds.ts"
import { took } from "../../bench/ratios/took.ts"

describe("the bench's rounds", () => {
  it.effect("let all figures take turns, and make a ratio of medians without the round that warms up", () =>
    Effect.gen(function* () {
      const turns: Array<string> = []
      const figure = (name: string, values: Array<number>): Figure => ({
        unit: "ms",
        measure: Effect.sync(() => {
          turns.push(name)
          return values.shift()!
        }),
      })
      const measured = yield* measureRatios(
        { ours: figure("ours", [1000, 6, 90, 3]), peer: figure("peer", [1, 2, 1, 70]) },
        { ratio: { ours: "ours", peer: "another", of: ["ours", "peer"] } },
        3,
      )
      assert.deepStrictEqual(turns, Array.from({ length: 4 }, () => ["ours", "peer"]).flat())
      assert.deepStrictEqual(measured.get("ratio"), { ours: 6, peer: 2, unit: "ms", ratio: 3, spread: [3 / 70, 90] })
    }),
  )

  it.effect("make as many calls as they are told to, with so many in flight", () =>
    Effect.gen(function* () {
      let [calls, inFlight, most] = [0, 0, 0]
      const call = Effect.gen(function* () {
        calls++
        most = Math.max(most, ++inFlight)
        yield* Effect.yieldNow
        inFlight--
      })
      yield* took(call, 100, 7)
      assert.deepStrictEqual([calls, inFlight, most], [100, 0, 7])
    }),
  )
})
