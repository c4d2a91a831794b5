/** `npm run bench -- ratios`: ours beside peers of the field, as ratios that can be compared from run to run. */
import { spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { loadavg } from "node:os"
import { Effect } from "effect"
import { table } from "../measure.ts"
import { figures } from "./figures.ts"
import { RATIOS } from "./ratios.ts"
import { type Figure, type Measured, measureRatios, type Ratio } from "./rounds.ts"

/** How thorough it is, and where else it is to be written. */
export interface RatiosOptions {
  readonly quick: boolean
  /** A file for the ratios and the medians behind them, as JSON. */
  readonly json: string | undefined
}

const ROUNDS = { quick: 9, thorough: 31 }

const better = (unit: Figure["unit"]) => (unit === "/s" || unit === "MiB/s" ? "higher" : "lower")
const inWords = (value: number, unit: Figure["unit"]) => `${Number(value.toPrecision(3))} ${unit}`.replace(" /", "/")

const row = (name: string, { ours: what, peer: beside }: Ratio, { ours, peer, ratio, spread, unit }: Measured) => [
  name,
  ratio.toFixed(2),
  spread.map((value) => value.toFixed(2)).join("–"),
  better(unit),
  what,
  inWords(ours, unit),
  beside,
  inWords(peer, unit),
]

const write = (file: string, measured: ReadonlyMap<string, Measured>) => {
  const ratios = Object.fromEntries([...measured].map(([name, { ratio }]) => [name, ratio]))
  const medians = Object.fromEntries(
    [...measured].map(([name, { ours, peer, spread, unit }]) => [name, { ours, peer, unit, spread }]),
  )
  writeFileSync(file, `${JSON.stringify({ ratios, medians }, null, 2)}\n`)
}

/** The report on the ratios. */
export const ratiosReport = ({ json, quick }: RatiosOptions): Effect.Effect<string, unknown> => {
  const missing =
    process.platform !== "linux"
      ? "that takes Linux' /proc"
      : spawnSync("go", ["version"]).status !== 0
        ? "there is no go on the PATH to build what ours is compared with"
        : undefined
  if (missing !== undefined) {
    const why = `Ratios are not measured: ${missing}`
    // Whoever waits for the file is not to take its lack for success.
    return json === undefined ? Effect.succeed(why) : Effect.fail(new Error(why))
  }
  return Effect.gen(function* () {
    const measured = yield* measureRatios(yield* figures, RATIOS, quick ? ROUNDS.quick : ROUNDS.thorough)
    if (json !== undefined) write(json, measured)
    const rows = Object.entries(RATIOS).map(([name, ratio]) => row(name, ratio, measured.get(name)!))
    const load = loadavg().map((value) => value.toFixed(1))
    return `${table([["", "ratio", "spread", "better", "ours", "", "beside", ""], ...rows])}\nLoad: ${load.join(", ")}`
  }).pipe(Effect.scoped)
}
