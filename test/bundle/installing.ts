/** How a host installs, upgrades and removes plugins, in the order that `BundleStore` asks for. */
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer } from "effect"
import { BundleStore } from "../../src/bundle/BundleStore.ts"
import { refuseDowngrade } from "../../src/bundle/BundleVersion.ts"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { layerNodeSqlite } from "../../src/storage/NodeSqlite.ts"
import { PluginStates } from "../../src/storage/PluginStates.ts"

/** A host's store and states, in a folder. */
export const services = (root: string) =>
  Layer.fresh(
    Layer.merge(
      BundleStore.layer(join(root, "plugins")).pipe(Layer.provide(PluginBundles.layer)),
      PluginStates.layer.pipe(Layer.provide(layerNodeSqlite(join(root, "states.db")))),
    ).pipe(Layer.provide(NodeServices.layer)),
  )

export const install = (archive: string, options: { readonly force?: boolean } = {}) =>
  Effect.scoped(
    Effect.gen(function* () {
      const store = yield* BundleStore
      const states = yield* PluginStates
      const staged = yield* store.stage({ archive })
      const { id, version } = staged.bundle.manifest
      const before = (yield* states.get(id))?.current
      yield* refuseDowngrade(id, before?.version, version, options)
      const installed = yield* store.commit(staged)
      yield* states.set(id, installed)
      if (before !== undefined && before.path !== installed.path) yield* store.remove(before.path)
      return installed
    }),
  )

export const remove = Effect.fnUntraced(function* (id: string) {
  const store = yield* BundleStore
  const states = yield* PluginStates
  const before = (yield* states.get(id))?.current
  yield* states.remove(id)
  if (before !== undefined) yield* store.remove(before.path)
})
