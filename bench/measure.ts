/** Measuring two ways of doing the same in one run: machines are noisy, ratios less so. */
import { Effect } from "effect"

/** How often the two ways take turns; the median of the turns counts. */
export const TURNS = 7

/** The one in the middle. */
export const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

/** Milliseconds that `effect` takes. */
export const time = <E, R>(effect: Effect.Effect<unknown, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    const began = performance.now()
    return Effect.map(effect, () => performance.now() - began)
  })

/** One line of the report. */
export interface Row {
  readonly name: string
  /** In words, ours and the bare minimum's. */
  readonly ours: string
  readonly bare: string
  /** Time of ours over time of the bare minimum. */
  readonly ratio: number
}

/** Lets ours and the bare minimum take turns, after some that warm up: a server has run for longer than its first requests. */
export const compare = Effect.fnUntraced(function* <E1, R1, E2, R2>(
  name: string,
  ours: Effect.Effect<unknown, E1, R1>,
  bare: Effect.Effect<unknown, E2, R2>,
  inWords: (millis: number) => string,
  warmUps = 1,
): Effect.fn.Return<Row, E1 | E2, R1 | R2> {
  for (let turn = 0; turn < warmUps; turn++) {
    yield* ours
    yield* bare
  }
  const times = { ours: [] as Array<number>, bare: [] as Array<number> }
  for (let turn = 0; turn < TURNS; turn++) {
    times.ours.push(yield* time(ours))
    times.bare.push(yield* time(bare))
  }
  const [a, b] = [median(times.ours), median(times.bare)]
  return { name, ours: inWords(a), bare: inWords(b), ratio: a / b }
})

/** Rows of cells, the first of which is the header, as text with columns. */
export const table = (cells: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)))
  return cells.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("   ")).join("\n")
}

/** The rows as a table; `bare` says what ours stands beside, `ratio` what the last column is. */
export const report = (rows: ReadonlyArray<Row>, bare: string, ratio = "ratio"): string =>
  table([
    ["", "ours", bare, ratio],
    ...rows.map(({ bare, name, ours, ratio }) => [name, ours, bare, `${ratio.toFixed(2)}×`]),
  ])
