/** Several hosts in one database: each has its own, what was there before is the nameless one's, and none is shared. */
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, Option, Record } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { BundleStore } from "../../src/bundle/BundleStore.ts"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { holdStorage } from "../../src/storage/HeldStorage.ts"
import { KeyValues } from "../../src/storage/KeyValues.ts"
import { PluginSettings } from "../../src/storage/PluginSettings.ts"
import { PluginStates } from "../../src/storage/PluginStates.ts"
import { PluginStorage } from "../../src/storage/PluginStorage.ts"
import { MIGRATIONS_TABLE, storageMigrations } from "../../src/storage/StorageTables.ts"
import { temporaryFolder } from "../support/folder.ts"
import { databases } from "./databases.ts"

const value = new Uint8Array([7])
const bundle = { path: "hello/1.0.0-0", version: "1.0.0", hash: "0", signedBy: undefined }

const servicesOf = (context: Context.Context<KeyValues | PluginSettings | PluginStates>) => ({
  values: Context.get(context, KeyValues),
  settings: Context.get(context, PluginSettings),
  states: Context.get(context, PluginStates),
})

const storageOf = <E>(client: Layer.Layer<SqlClient.SqlClient, E>, namespace?: string) =>
  Effect.map(Layer.build(PluginStorage.layerIn({ namespace }).pipe(Layer.provide(client))), servicesOf)

for (const kind of databases()) {
  describe.skipIf(kind.missing)(`namespaces on ${kind.name}`, () => {
    it.live("have nothing in common", () =>
      Effect.gen(function* () {
        const client = yield* kind.open()
        const [home, alarm] = [yield* storageOf(client, "home"), yield* storageOf(client, "alarm")]
        yield* home.values.set("hello", "key", value)
        yield* home.settings.save({ hello: { loud: true } })
        yield* home.states.set("hello", bundle)
        yield* home.states.enable("hello", true)
        assert.isTrue(Option.isNone(yield* alarm.values.get("hello", "key")))
        assert.deepStrictEqual(yield* alarm.values.list("hello"), [])
        assert.deepStrictEqual(yield* alarm.settings.all, {})
        assert.deepStrictEqual(yield* alarm.settings.get("hello"), {})
        assert.deepStrictEqual([yield* alarm.states.all, yield* alarm.states.paths], [[], []])
        // The same ids in both, and what the one removes is the other's still.
        assert.isTrue(yield* alarm.values.set("hello", "key", value, { condition: "absent" }))
        yield* alarm.settings.save({ hello: { loud: false } })
        yield* alarm.states.set("hello", { ...bundle, version: "2.0.0" })
        yield* alarm.values.deleteAll("hello")
        yield* alarm.states.remove("hello")
        assert.deepStrictEqual(yield* home.values.list("hello"), ["key"])
        assert.deepStrictEqual(yield* home.settings.all, { hello: { loud: true } })
        assert.deepInclude((yield* home.states.get("hello"))?.current, { version: "1.0.0" })
      }).pipe(Effect.scoped),
    )

    for (const version of [1, 2]) {
      it.live(`are made of tables of version ${version}, whose rows are nobody's by name`, () =>
        Effect.gen(function* () {
          const client = yield* kind.open()
          yield* Effect.gen(function* () {
            const sql = yield* SqlClient.SqlClient
            const steps = Record.filter((yield* storageMigrations)!, (_, name) => Number.parseInt(name) <= version)
            yield* Migrator.make({})({ loader: Migrator.fromRecord(steps), table: MIGRATIONS_TABLE })
            yield* sql`INSERT INTO plugin_key_values ${sql.insert({ plugin_id: "hello", key: "key", value })}`
            yield* sql`INSERT INTO plugin_configs ${sql.insert({ plugin_id: "hello", config: "{}" })}`
            if (version === 2) {
              const row = { plugin_id: "hello", path: "p", version: "1", hash: "h", installed_at: 1_800_000_000_000 }
              yield* sql`INSERT INTO plugin_states ${sql.insert(row)}`
            }
          }).pipe(Effect.provide(Layer.fresh(client)))
          const { settings, states, values } = yield* storageOf(client)
          assert.deepStrictEqual(yield* values.list("hello"), ["key"])
          assert.deepStrictEqual([...Option.getOrThrow(yield* values.get("hello", "key"))], [7])
          assert.deepStrictEqual(yield* settings.all, { hello: {} })
          assert.strictEqual((yield* states.all).length, version - 1)
          if (version === 2) assert.strictEqual((yield* states.get("hello"))?.current?.installedAt, 1_800_000_000_000)
          assert.deepStrictEqual(yield* (yield* storageOf(client, "other")).values.list("hello"), [])
        }).pipe(Effect.scoped),
      )
    }
  })
}

describe("storage that two hosts are given", () => {
  it.live("is the first one's, until that has ended; the second is told of it, with the cure", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = join(folder, "plugins.db")
      const held = (host: string, namespace?: string) =>
        Effect.gen(function* () {
          const { settings, states, values } = servicesOf(
            yield* Layer.build(PluginStorage.layerFile(file, { namespace })),
          )
          yield* holdStorage(host, [values, settings, states])
        })
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* held("home")
          // Once more, by another Layer of the same host.
          yield* held("home")
          yield* held("alarm", "alarm")
          const error = yield* Effect.flip(held("billing"))
          assert.deepInclude(error, { _tag: "StorageSharedError", host: "billing", holder: "home" })
          assert.include(error.message, file)
          assert.include(error.message, "give each of them a namespace")
          const named = yield* Effect.flip(held("billing", "alarm"))
          assert.include(named.message, "the namespace alarm of")
        }),
      )
      yield* Effect.scoped(held("billing"))
    }).pipe(Effect.scoped),
  )

  it.live("may be a folder of bundles", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const store = Effect.map(
        Layer.build(Layer.fresh(BundleStore.layer(folder)).pipe(Layer.provide(PluginBundles.layerTest([])))),
        Context.get(BundleStore),
      )
      yield* holdStorage("home", [yield* store])
      const error = yield* Effect.flip(holdStorage("alarm", [yield* store]))
      assert.include(error.message, "a folder of its own")
    }).pipe(Effect.scoped),
  )

  it.effect("is not called what is no name", () =>
    Effect.gen(function* () {
      for (const namespace of ["", " ", "a b", "-a", "a".repeat(101)]) {
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(PluginStorage.layerFile(":memory:", { namespace }))))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause), namespace)
      }
    }),
  )
})
