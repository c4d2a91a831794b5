/** `npm run bench -- growth`: how what a hook costs grows with calls in flight, with messages, and with plugins. */
import { readFileSync, writeFileSync } from "node:fs"
import { loadavg } from "node:os"
import { join } from "node:path"
import { create } from "@bufbuild/protobuf"
import { Effect } from "effect"
import { root } from "../../scripts/python.ts"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { copyPlugin } from "../copyPlugin.ts"
import { temporaryFolder } from "../folder.ts"
import { median, table } from "../measure.ts"
import { hostWith, ours } from "../ratios/ours.ts"
import { post } from "../ratios/post.ts"
import { type Took, took } from "../ratios/took.ts"
import { peers } from "../reference/peers.ts"
import { type Panel, type Series, svg } from "./plot.ts"

const TURNS = 5
const IN_FLIGHT = [1, 4, 16, 64, 256]
const CALLS = 3200
const SIZES = [100, 1000, 10_000, 100_000, 1_000_000, 16 * 1024 * 1024]
const PLUGINS = [1, 2, 5, 10, 25, 50]

const perSecond = ({ total }: Took, calls: number) => (calls / total) * 1000

/** The medians of several ways of doing something, by what they are done with, taken in turns. */
const measured = Effect.fnUntraced(function* <R = never>(
  xs: ReadonlyArray<number>,
  ways: { readonly [name: string]: (x: number) => Effect.Effect<number, unknown, R> },
): Effect.fn.Return<ReadonlyArray<Series>, unknown, R> {
  const names = Object.keys(ways)
  const points = names.map((): Array<readonly [number, number]> => [])
  for (const x of xs) {
    const values = names.map((): Array<number> => [])
    // The first turn warms up.
    for (let turn = 0; turn <= TURNS; turn++) {
      for (const [index, name] of names.entries()) {
        const value = yield* ways[name]!(x)
        if (turn > 0) values[index]!.push(value)
      }
    }
    for (const [index, taken] of values.entries()) points[index]!.push([x, median(taken)])
  }
  return names.map((name, index) => ({ name, points: points[index]! }))
})

const inFlight = Effect.gen(function* () {
  const plugin = yield* ours("async")
  const { ask } = yield* peers
  const series = yield* measured(IN_FLIGHT, {
    ours: (count) => Effect.map(plugin.ask(CALLS, count), (taken) => perSecond(taken, CALLS)),
    "reference wire": (count) => Effect.map(ask(CALLS, count), (taken) => perSecond(taken, CALLS)),
  })
  return { title: "Calls in flight", x: "calls in flight", y: "hooks a second", series } satisfies Panel
}).pipe(Effect.scoped)

const sizes = Effect.gen(function* () {
  const [ttrpc, grpc] = [yield* ours("async"), yield* ours("async", { transport: "grpc" })]
  const asked = ({ asking }: typeof ttrpc, size: number) => {
    const about = create(PostSchema, { ...post, message: "x".repeat(size) })
    return Effect.map(took(asking(about), Math.max(3, Math.min(300, 1e8 / size)), 1), ({ p50 }) => p50)
  }
  const series = yield* measured(SIZES, {
    ttrpc: (size) => asked(ttrpc, size),
    gRPC: (size) => asked(grpc, size),
  })
  return { title: "Length of the post", x: "bytes", y: "milliseconds a hook", series } satisfies Panel
}).pipe(Effect.scoped)

/** Copies of the bench's plugin under names of their own. */
const copies = Effect.fnUntraced(function* (count: number) {
  const folder = yield* temporaryFolder
  return Array.from({ length: count }, (_, index) => {
    const copy = join(folder, `copy-${index}`)
    copyPlugin(join(root, "bench/ratios/plugins/async"), copy)
    const manifest = join(copy, "plugin.json")
    writeFileSync(manifest, readFileSync(manifest, "utf8").replaceAll('"async"', `"copy-${index}"`))
    return copy
  })
})

const plugins = Effect.gen(function* () {
  const folders = yield* copies(Math.max(...PLUGINS))
  const host = yield* hostWith
  let started = 0
  const series = yield* measured(PLUGINS, {
    ours: (count) =>
      Effect.gen(function* () {
        while (started < count) yield* host.start(folders[started++]!)
        return (yield* took(host.plugins.decide("messageWillBePosted", { post }), 200, 1)).p50
      }),
  })
  return {
    title: "Plugins that are asked",
    x: "plugins",
    y: "milliseconds until all have agreed",
    series,
  } satisfies Panel
}).pipe(Effect.scoped)

const text = ({ series, title, x, y }: Panel): string =>
  `${title}: ${y}\n${table([
    [x, ...series.map(({ name }) => name)],
    ...series[0]!.points.map(([at], index) =>
      [at, ...series.map(({ points }) => Number(points[index]![1].toPrecision(3)))].map(String),
    ),
  ])}`

/** The report; `plot` is a file for a picture of it. */
export const growthReport = (plot: string | undefined): Effect.Effect<string, unknown> =>
  Effect.gen(function* () {
    const panels = [yield* inFlight, yield* sizes, yield* plugins]
    if (plot !== undefined) writeFileSync(plot, svg(panels))
    const load = loadavg().map((value) => value.toFixed(1))
    return `${panels.map(text).join("\n\n")}\nLoad: ${load.join(", ")}`
  })
