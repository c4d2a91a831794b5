/** Many plugins at once, and one that is enabled and disabled again and again. */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Option } from "effect"
import { RuntimeDirectory } from "../../src/goplugin/SocketDirectory.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { PluginStorage } from "../../src/storage/PluginStorage.ts"
import { folder } from "../support/folder.ts"
import { hostEnvironment } from "../support/host.ts"
import { rounds } from "../support/soak.ts"
import { nobodyHas, peer, under } from "./support.ts"

const PLUGINS = rounds(20, 50)
const CYCLES = rounds(10, 200)

/** What a host may have before it is as it will stay. */
const WARM_UP = 3

const ids = Array.from({ length: PLUGINS }, (_, index) => `many-${String(index).padStart(2, "0")}`)

/** A host with these plugins in a folder of its own. */
const hosting = <A, E>(use: (root: string) => Effect.Effect<A, E, Layer.Success<ReturnType<typeof host>>>) =>
  Effect.gen(function* () {
    const plugins = Object.assign({}, ...ids.map((id) => under(`plugins/${id}`, peer("well", { id }))))
    const root = yield* folder({ ...plugins, run: { folder: true } })
    yield* Effect.provide(use(root), host(root)).pipe(
      Effect.provideService(RuntimeDirectory, join(root, "run")),
      Effect.provide(Logger.layer([])),
    )
    assert.deepStrictEqual(readdirSync(join(root, "run")), [])
    yield* nobodyHas(root)
  }).pipe(Effect.scoped)

const host = (root: string) =>
  MattermostPlugins.layerFolder({ directory: join(root, "plugins") }).pipe(
    Layer.provide(MattermostPlugins.layerApi({})),
    Layer.provideMerge(PluginStorage.layerFile(join(root, "plugins.db"))),
    Layer.provide(hostEnvironment),
    Layer.provideMerge(NodeServices.layer),
  )

describe.skipIf(process.platform !== "linux")("a host with many plugins", () => {
  it.live(
    `runs ${PLUGINS} of them side by side, and goes without a trace`,
    () =>
      hosting(() =>
        Effect.gen(function* () {
          const { find, plugins, restart, settled } = yield* MattermostPlugins.Environment
          yield* settled
          const { active, call } = yield* MattermostPlugins
          assert.deepStrictEqual(
            active.all().map(({ pluginId }) => pluginId),
            ids,
          )
          const answers = yield* Effect.forEach(ids, (id) => call(id, "executeCommand", {}), {
            concurrency: "unbounded",
          })
          assert.isTrue(answers.every(Option.isSome))
          // Commands on different plugins are carried out side by side, and leave the others alone.
          yield* Effect.forEach(ids.slice(0, 5), restart, { concurrency: "unbounded" })
          assert.lengthOf(active.all(), PLUGINS)
          const last = Option.getOrThrow(yield* find(ids.at(-1)!))
          assert.deepInclude(yield* plugins, last)
        }),
      ),
    180_000 + PLUGINS * 5000,
  )

  it.live(
    `is as it was after one was enabled and disabled ${CYCLES} times`,
    () =>
      hosting(() =>
        Effect.gen(function* () {
          const { disable, enable, settled } = yield* MattermostPlugins.Environment
          yield* settled
          const cycle = Effect.andThen(disable(ids[0]!), enable(ids[0]!))
          const measure = Effect.map(Effect.sleep("1 second"), () => ({
            descriptors: readdirSync("/proc/self/fd").length,
            resources: process.getActiveResourcesInfo().filter((kind) => kind !== "Timeout" && kind !== "Immediate")
              .length,
          }))
          yield* Effect.repeat(cycle, { times: WARM_UP })
          const before = yield* measure
          yield* Effect.repeat(cycle, { times: CYCLES })
          const after = yield* measure
          assert.isAtMost(after.descriptors, before.descriptors)
          assert.isAtMost(after.resources, before.resources)
        }),
      ),
    180_000 + CYCLES * 10_000,
  )
})
