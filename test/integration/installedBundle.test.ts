/** A real plugin that runs from the store: packed, installed, started, and what it leaves in its bundle. */
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { checkIntegrity } from "../../src/bundle/BundleIntegrity.ts"
import { packBundle } from "../../src/bundle/BundlePack.ts"
import { BundleStore } from "../../src/bundle/BundleStore.ts"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { temporaryFolder } from "../support/folder.ts"
import { fixture, host, noPython } from "../support/host.ts"

describe.skipIf(noPython)("a plugin in the store", () => {
  it.live("runs, and leaves its bundle as it was where it is told to write no bytecode", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const file = join(root, "parts.tar.gz")
      yield* Effect.gen(function* () {
        yield* packBundle(fixture("parts"), file)
        const store = yield* BundleStore
        const { bundle, hash } = yield* store.commit(yield* store.stage({ archive: file }))
        const supervisor = yield* MattermostPlugins.Supervisor
        const run = (variables: { readonly [name: string]: string }) =>
          Effect.scoped(Effect.asVoid(supervisor.start(bundle, { variables })))
        yield* run({ PYTHONDONTWRITEBYTECODE: "1" })
        yield* checkIntegrity(bundle.directory, hash)
        yield* run({})
        const error = yield* Effect.flip(checkIntegrity(bundle.directory, hash))
        assert.isTrue(error.changes.every(({ change, path }) => change === "added" && path.startsWith("__pycache__/")))
      }).pipe(
        Effect.provide(
          BundleStore.layer(join(root, "store")).pipe(
            Layer.provideMerge(PluginBundles.layer),
            Layer.provideMerge(host({ registerCommand: () => Effect.succeed({}) })),
          ),
        ),
      )
    }).pipe(Effect.scoped),
  )
})
