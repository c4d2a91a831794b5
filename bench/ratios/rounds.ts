/** Measuring in rounds: in each, everything takes its turn, so that what else the machine does meets all alike. */
import { Effect } from "effect"
import { median } from "../measure.ts"

/** One way of doing something, measured once a round. */
export interface Figure {
  readonly unit: "ms" | "/s" | "MiB" | "MiB/s"
  readonly measure: Effect.Effect<number, unknown>
}

/** Two figures of one unit, one over the other. */
export interface Ratio {
  /** In words, for the table. */
  readonly ours: string
  readonly peer: string
  /** By the names of the figures. */
  readonly of: readonly [ours: string, peer: string]
}

/** A ratio as it was measured. */
export interface Measured {
  readonly ours: number
  readonly peer: number
  readonly unit: Figure["unit"]
  /** The median of ours over the peer's. */
  readonly ratio: number
  /** Between what the middle half of the rounds' own ratios are. */
  readonly spread: readonly [low: number, high: number]
}

const middleHalf = (values: ReadonlyArray<number>): readonly [number, number] => {
  const sorted = values.toSorted((a, b) => a - b)
  return [sorted[sorted.length >> 2]!, sorted[(3 * sorted.length) >> 2]!]
}

/** Measures all figures, after a round that warms up, and answers the ratios by their names. */
export const measureRatios = Effect.fnUntraced(function* (
  figures: { readonly [name: string]: Figure },
  ratios: { readonly [name: string]: Ratio },
  rounds: number,
): Effect.fn.Return<ReadonlyMap<string, Measured>, unknown> {
  const all = Object.entries(figures)
  const values = new Map<string, Array<number>>(all.map(([name]) => [name, []]))
  for (const [, { measure }] of all) yield* measure
  for (let round = 0; round < rounds; round++) {
    for (const [name, { measure }] of all) values.get(name)!.push(yield* measure)
  }
  const medianOf = (name: string) => median(values.get(name)!)
  return new Map(
    Object.entries(ratios).map(([name, { of }]) => {
      const [ours, peer] = [medianOf(of[0]), medianOf(of[1])]
      const each = values.get(of[0])!.map((value, round) => value / values.get(of[1])![round]!)
      return [name, { ours, peer, unit: figures[of[0]]!.unit, ratio: ours / peer, spread: middleHalf(each) }]
    }),
  )
})
