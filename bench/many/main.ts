/** `npm run bench -- many`: what plugins cost by their number, and what installing one does. */
import { execFileSync, spawnSync } from "node:child_process"
import { loadavg } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { root } from "../../scripts/python.ts"
import { table } from "../measure.ts"
import { installReport } from "./installing.ts"
import { HEADER, life, row } from "./running.ts"

const COUNTS = [1, 10, 50]
const python = join(root, "examples/hello-python")
const go = join(root, "examples/hello-go")

const rowsOf = Effect.fnUntraced(function* (name: string, bundle: string) {
  const rows: Array<ReadonlyArray<string>> = []
  let one
  for (const count of COUNTS) {
    const measured = yield* life(bundle, count)
    rows.push(row(`${count} in ${name}`, measured, one))
    one ??= measured
  }
  return rows
})

const runningReport = Effect.gen(function* () {
  // What is installed is measured, without what Node does to run TypeScript.
  execFileSync(process.execPath, [join(root, "scripts/build.ts")], { stdio: "inherit" })
  const hasGo = spawnSync("go", ["version"]).status === 0
  if (hasGo) execFileSync(join(go, "build.sh"), { stdio: "inherit" })
  const rows = [
    row("no plugin", yield* life(python, 0)),
    ...(yield* rowsOf("Python", python)),
    ...(hasGo ? yield* rowsOf("Go", join(go, "dist/hello-go")) : []),
  ]
  return `${table([HEADER, ...rows])}${hasGo ? "" : "\nGo plugins are not measured: there is no go on the PATH"}`
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
