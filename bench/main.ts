/**
 * `npm run bench`: what the supervisor costs. `npm run bench -- http many` measures only these parts; `--quick` only the
 * ratios unless others are named, in fewer rounds; `--json FILE` writes the ratios to a file as well, `--plot FILE` draws how costs
 * grow.
 */
import { parseArgs } from "node:util"
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Logger } from "effect"

const {
  positionals: given,
  values: { json, plot, quick },
} = parseArgs({
  allowPositionals: true,
  options: { json: { type: "string" }, plot: { type: "string" }, quick: { type: "boolean", default: false } },
})

/** Each part by its name; it prepares what it needs when it is loaded. */
const PARTS: { readonly [name: string]: () => Promise<Effect.Effect<string, unknown>> } = {
  ratios: async () => (await import("./ratios/main.ts")).ratiosReport({ quick, json }),
  http: async () => (await import("./http/main.ts")).httpReport,
  hooks: async () => (await import("./hooks.ts")).hooksReport,
  goplugin: async () => (await import("./goplugin.ts")).goPluginReport,
  growth: async () => (await import("./growth/main.ts")).growthReport(plot),
  many: async () => (await import("./many/main.ts")).manyReport,
}

const names = Object.keys(PARTS)
const parts = given.length > 0 ? given : quick ? ["ratios"] : names
const unknown = given.filter((name) => !names.includes(name))
if (unknown.length > 0) {
  process.stderr.write(`There is no bench ${unknown.join(", ")}; there are ${names.join(", ")}\n`)
  process.exit(1)
}
if (json !== undefined && !parts.includes("ratios")) {
  process.stderr.write(`--json writes the ratios, which are not among ${parts.join(", ")}\n`)
  process.exit(1)
}
if (plot !== undefined && !parts.includes("growth")) {
  process.stderr.write(`--plot draws what growth measures, which is not among ${parts.join(", ")}\n`)
  process.exit(1)
}

const all = Effect.forEach(
  parts,
  Effect.fnUntraced(function* (name) {
    const report = yield* Effect.promise(PARTS[name]!)
    process.stdout.write(`${yield* report}\n\n`)
  }),
  { discard: true },
)

// A bench that is interrupted ends what it has started. What plugins log is not what is measured.
NodeRuntime.runMain(Effect.provide(all, Logger.layer([])))
