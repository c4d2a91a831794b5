/** `npm run bench -- many`: what plugins cost by their number, and what installing one does. */
import { execFileSync, spawnSync } from "node:child_process"
import { loadavg } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { root } from "../../scripts/python.ts"
import { median, table, time } from "../measure.ts"
import { importGrpc } from "../python.ts"
import { installReport } from "./installing.ts"
import { HEADER, life, type Life, row } from "./running.ts"

const COUNTS = [1, 10, 50]
const python = join(root, "examples/hello-python")
const go = join(root, "examples/hello-go")

const livesOf = (bundle: string) => Effect.forEach(COUNTS, (count) => life(bundle, count))

const rowsOf = (name: string, lives: ReadonlyArray<Life>) =>
  lives.map((measured, index) => row(`${measured.plugins} in ${name}`, measured, index === 0 ? undefined : lives[0]))

/** What the starts of the most plugins took, without that of their host, beside as many imports of grpc at once. */
const beside = (alone: Life, { plugins, start }: Life, imports: ReadonlyArray<number>): string => {
  const least = median(imports) / 1000
  const own = start - alone.start
  return [
    `${plugins} Python plugins took ${own.toFixed(1)} s to be active, without the start of their host:`,
    `${(own / least).toFixed(2)} times ${plugins} \`python -c "import grpc"\` at once, which took ${least.toFixed(1)} s`,
  ].join(" ")
}

const runningReport = Effect.gen(function* () {
  // What is installed is measured, without what Node does to run TypeScript.
  execFileSync(process.execPath, [join(root, "scripts/build.ts")], { stdio: "inherit" })
  const hasGo = spawnSync("go", ["version"]).status === 0
  if (hasGo) execFileSync(join(go, "build.sh"), { stdio: "inherit" })
  const alone = yield* life(python, 0)
  const atOnce = Effect.replicateEffect(importGrpc, Math.max(...COUNTS), { concurrency: "unbounded", discard: true })
  const imports = yield* Effect.replicateEffect(time(atOnce), 5)
  const pythons = yield* livesOf(python)
  const rows = [
    row("no plugin", alone),
    ...rowsOf("Python", pythons),
    ...(hasGo ? rowsOf("Go", yield* livesOf(join(go, "dist/hello-go"))) : []),
  ]
  const lines = [table([HEADER, ...rows]), beside(alone, pythons.at(-1)!, imports)]
  return [...lines, ...(hasGo ? [] : ["Go plugins are not measured: there is no go on the PATH"])].join("\n")
})

/** The report on many plugins, and on installing. */
export const manyReport: Effect.Effect<string, unknown> = Effect.suspend(() =>
  process.platform === "linux"
    ? Effect.gen(function* () {
        const reports = [yield* runningReport, yield* installReport]
        const load = loadavg().map((value) => value.toFixed(1))
        return `${reports.join("\n\n")}\nLoad: ${load.join(", ")}`
      })
    : Effect.succeed("Many plugins are not measured: that takes Linux' /proc"),
)
