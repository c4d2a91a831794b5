/** Storage that two hosts of one program are given: each has its own, or the second one is told that it has none. */
import { symlinkSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { BillingPlugins } from "../../examples/own-contract/src/Billing.ts"
import { BundleStore } from "../../src/bundle/BundleStore.ts"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { KeyValues } from "../../src/storage/KeyValues.ts"
import { layerNodeSqlite } from "../../src/storage/NodeSqlite.ts"
import { PluginSettings } from "../../src/storage/PluginSettings.ts"
import { PluginStorage } from "../../src/storage/PluginStorage.ts"
import * as FakePlugin from "../../src/testing/FakePlugin.ts"
import { temporaryFolder } from "../support/folder.ts"

const chat = FakePlugin.supervisor(MattermostPlugins, {}).pipe(Layer.provide(MattermostPlugins.layerApi({})))
const billing = FakePlugin.supervisor(BillingPlugins, {}).pipe(Layer.provide(BillingPlugins.layerApi({})))

/** What the second of two hosts is told; nothing where it starts. */
const told = <A, E, B, F>(first: Layer.Layer<A, E>, second: Layer.Layer<B, F>) =>
  Effect.gen(function* () {
    yield* Layer.build(Layer.provide(chat, first))
    const exit = yield* Effect.exit(Layer.build(Layer.provide(billing, second)))
    return Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : undefined
  }).pipe(Effect.scoped)

const bundlesIn = (folder: string) => BundleStore.layer(folder).pipe(Layer.provide(PluginBundles.layerTest([])))

describe("storage", () => {
  it.live("is one host's, until that has ended; another one is told of it, with the cure", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const file = join(root, "plugins.db")
      symlinkSync(file, join(root, "link.db"))
      for (const second of [file, join(root, "link.db")].map(PluginStorage.layerFile)) {
        const message = yield* told(PluginStorage.layerFile(file), second)
        assert.include(message, `billing/BillingPlugins can't store its plugins in ${file}`)
        assert.include(message, "PluginStorage.layerFile with another file")
      }
      assert.isUndefined(yield* told(PluginStorage.layerFile(file), PluginStorage.layerFile(join(root, "other.db"))))
      // The first one has ended by now.
      assert.isUndefined(yield* told(Layer.empty, PluginStorage.layerFile(file)))
      assert.include(yield* told(bundlesIn(join(root, "store")), bundlesIn(join(root, "store"))), "with another folder")
      assert.isUndefined(yield* told(bundlesIn(join(root, "store")), bundlesIn(join(root, "another"))))
    }).pipe(Effect.scoped),
  )

  it.live("is the same where services are, or the client that they are on", () =>
    Effect.gen(function* () {
      const memory = yield* Layer.build(layerNodeSqlite(":memory:"))
      const client = Layer.succeed(SqlClient.SqlClient, Context.get(memory, SqlClient.SqlClient))
      const values = Layer.fresh(KeyValues.layer).pipe(Layer.provide(client))
      const settings = Layer.fresh(PluginSettings.layer).pipe(Layer.provide(client))
      assert.include(yield* told(values, settings), "in this storage")
      const ours = Layer.succeed(PluginSettings, Context.get(yield* Layer.build(settings), PluginSettings))
      assert.include(yield* told(ours, ours), "in this storage")
      assert.isUndefined(yield* told(PluginStorage.layerMemory, PluginStorage.layerMemory))
    }).pipe(Effect.scoped),
  )

  it.live("may be built twice for one host, which a program may do", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const file = join(root, "plugins.db")
      yield* Layer.build(Layer.provide(chat, PluginStorage.layerFile(file)))
      yield* Layer.build(Layer.fresh(Layer.provide(chat, PluginStorage.layerFile(file))))
    }).pipe(Effect.scoped),
  )

  it.live("is a file's own, where one program has two, and built once where it is provided twice", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const [one, two] = [PluginStorage.layerFile(join(root, "1.db")), PluginStorage.layerFile(join(root, "2.db"))]
      const seen = (name: string) => Layer.effect(Context.Service<KeyValues["Service"]>(name), KeyValues)
      const built = yield* Layer.build(
        Layer.mergeAll(
          seen("1").pipe(Layer.provide(one)),
          seen("2").pipe(Layer.provide(two)),
          seen("1 again").pipe(Layer.provide(one)),
        ),
      )
      const values = (name: string) => Context.get(built as never, Context.Service<KeyValues["Service"]>(name))
      yield* values("1").set("hello", "key", new Uint8Array([1]))
      assert.deepStrictEqual(yield* values("1").list("hello"), ["key"])
      assert.deepStrictEqual(yield* values("2").list("hello"), [])
      assert.strictEqual(values("1 again"), values("1"))
    }).pipe(Effect.scoped),
  )
})
