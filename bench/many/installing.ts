/** What it takes to install a plugin: unpacking and keeping its archive, and putting it in the place of one that runs. */
import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { NodeServices } from "@effect/platform-node"
import { Effect, Exit, Layer, Scope } from "effect"
import { packBundle } from "../../src/bundle/BundlePack.ts"
import { BundleStore } from "../../src/bundle/BundleStore.ts"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { PluginStorage } from "../../src/storage/PluginStorage.ts"
import { root } from "../../scripts/python.ts"
import { compare, median, report, table, TURNS } from "../measure.ts"
import { environment } from "../python.ts"
import { copyPlugin } from "../copyPlugin.ts"
import { temporaryFolder } from "../folder.ts"
import { MIB, processorTime } from "./usage.ts"

const example = join(root, "examples/hello-python")
const run = promisify(execFile)

/** Files of program text have some kilobytes. */
const FILE = 20 * 1024
/** Files in a folder. */
const FOLDER = 50

/** Packs the example, as another version or with files beside it. */
const packed = Effect.fnUntraced(function* (folder: string, version: string, files = 0) {
  const bundle = join(folder, version)
  copyPlugin(example, bundle)
  const manifest = JSON.parse(readFileSync(join(bundle, "plugin.json"), "utf8")) as object
  writeFileSync(join(bundle, "plugin.json"), JSON.stringify({ ...manifest, version }))
  for (let index = 0; index < files; index++) {
    const inside = join(bundle, `folder${Math.floor(index / FOLDER)}`)
    mkdirSync(inside, { recursive: true })
    // Digits, which gzip halves.
    writeFileSync(join(inside, `file${index}.txt`), randomBytes(FILE / 2).toString("hex"))
  }
  const { file } = yield* packBundle(bundle, join(folder, `${version}.tar.gz`))
  return file
})

/** Seconds by the clock, and of processors: those of this process and of the programs that it has run. */
interface Took {
  readonly wall: number
  readonly processor: number
}

const took = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const began = performance.now()
    const before = processorTime("self")
    return Effect.map(effect, (value) => {
      const { ended, own } = processorTime("self")
      const processor = own - before.own + ended - before.ended
      return { value, wall: (performance.now() - began) / 1000, processor }
    })
  })

const both = (a: Took, b: Took): Took => ({ wall: a.wall + b.wall, processor: a.processor + b.processor })

const medians = (turns: ReadonlyArray<Took>): Took => ({
  wall: median(turns.map(({ wall }) => wall)),
  processor: median(turns.map(({ processor }) => processor)),
})

/** Ours beside tar, in turns: unpacked; and kept so that it survives a loss of power, for which tar's files are synced. */
const unpacking = Effect.fnUntraced(
  function* (files: number) {
    const folder = yield* temporaryFolder
    const archive = yield* packed(folder, "1.0.0", files)
    const store = yield* Effect.provide(
      BundleStore,
      Layer.provide(BundleStore.layer(join(folder, "store")), PluginBundles.layer),
    )
    const ours = Effect.gen(function* () {
      const scope = yield* Scope.make()
      const staged = yield* took(Scope.provide(store.stage({ archive }), scope))
      const committed = yield* took(store.commit(staged.value))
      yield* Scope.close(scope, Exit.void)
      yield* store.remove(committed.value.path)
      return { unpacked: staged, kept: both(staged, committed) }
    })
    const target = join(folder, "tar")
    const tars = Effect.gen(function* () {
      mkdirSync(target)
      const unpacked = yield* took(Effect.promise(() => run("tar", ["-xzf", archive, "-C", target])))
      const synced = yield* took(Effect.promise(() => run("find", [target, "-exec", "sync", "{}", "+"])))
      rmSync(target, { recursive: true })
      return { unpacked, kept: both(unpacked, synced) }
    })
    // The first turn warms up.
    yield* ours
    yield* tars
    const turns = yield* Effect.forEach(Array.from({ length: TURNS }), () => Effect.all({ ours, tar: tars }))
    const size = `${(statSync(archive).size / MIB).toFixed(0)} MiB, ${files} files`
    return (["unpacked", "kept"] as const).map((what) => {
      const a = medians(turns.map(({ ours }) => ours[what]))
      const b = medians(turns.map(({ tar }) => tar[what]))
      return [
        `${size}, ${what === "kept" ? "unpacked and synced" : what}`,
        `${a.wall.toFixed(2)} s`,
        `${b.wall.toFixed(2)} s`,
        `${(a.wall / b.wall).toFixed(2)}×`,
        `${a.processor.toFixed(2)} s`,
        `${b.processor.toFixed(2)} s`,
        `${(a.processor / b.processor).toFixed(2)}×`,
      ]
    })
  },
  Effect.scoped,
  Effect.provide(PluginBundles.layer),
)

/** A host in this process that has nothing but what is installed into it. */
const hostIn = (folder: string) =>
  MattermostPlugins.layerFolder({ directory: join(folder, "plugins") }).pipe(
    Layer.provide(MattermostPlugins.layerApi({ getServerVersion: () => Effect.succeed({ version: "1.0.0" }) })),
    Layer.provideMerge(Layer.provide(BundleStore.layer(join(folder, "store")), PluginBundles.layer)),
    Layer.provide(PluginStorage.layerFile(join(folder, "plugins.db"))),
    Layer.provide(environment),
    Layer.provideMerge(NodeServices.layer),
  )

/** Another version in the place of one that runs, beside what it takes to stop and start that. */
const upgrade = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  mkdirSync(join(folder, "plugins"))
  return yield* Effect.gen(function* () {
    const { enable, install, restart } = yield* MattermostPlugins.Environment
    const archives = [yield* packed(folder, "1.0.0"), yield* packed(folder, "1.0.1")]
    let turn = 0
    const next = Effect.suspend(() => install({ archive: archives[turn++ % 2]! }, { force: true }))
    const { manifest } = yield* next
    yield* enable(manifest.id)
    return yield* compare(
      "another version installed (stopped and started)",
      next,
      restart(manifest.id),
      (millis) => `${(millis / 1000).toFixed(2)} s`,
    )
  }).pipe(Effect.provide(hostIn(folder)))
}).pipe(Effect.scoped)

/** The report on installing. */
export const installReport: Effect.Effect<string, unknown> = Effect.gen(function* () {
  const header = ["", "ours", "tar -xzf", "ratio", "CPU of ours", "CPU of tar", "ratio"]
  const rows = [...(yield* unpacking(100)), ...(yield* unpacking(5000))]
  return `${table([header, ...rows])}\n\n${report([yield* upgrade], "restart")}`
}).pipe(Effect.provide(NodeServices.layer))
