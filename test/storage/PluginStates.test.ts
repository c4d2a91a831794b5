/** Which bundles are current and which plugins are enabled, the same on every database. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { KeyValues } from "../../src/storage/KeyValues.ts"
import { PluginStates } from "../../src/storage/PluginStates.ts"
import { recordLog } from "../support/log.ts"
import { databases } from "./databases.ts"

const bundle = (version: string, signedBy?: string) => ({
  path: `hello/${version}-0123456789abcdef`,
  version,
  hash: "0123456789abcdef".repeat(4),
  signedBy,
})

for (const kind of databases()) {
  const test = <E>(name: string, body: Effect.Effect<void, E, PluginStates | SqlClient.SqlClient | Scope.Scope>) =>
    it.effect(name, () =>
      Effect.gen(function* () {
        yield* Effect.provide(body, PluginStates.layer.pipe(Layer.provideMerge(yield* kind.open()), Layer.fresh))
      }),
    )

  describe.skipIf(kind.missing)(`states on ${kind.name}`, () => {
    test(
      "say which bundle is current, and since when",
      Effect.gen(function* () {
        const states = yield* PluginStates
        assert.isUndefined(yield* states.get("hello"))
        assert.deepStrictEqual(yield* states.all, [])
        assert.deepStrictEqual(yield* states.paths, [])
        const now = 2000
        yield* TestClock.adjust(now)
        yield* states.set("hello", bundle("1.0.0", "0123456789abcdef"))
        const first = {
          pluginId: "hello",
          current: { ...bundle("1.0.0", "0123456789abcdef"), installedAt: now },
          enabled: undefined,
        }
        assert.deepStrictEqual(yield* states.get("hello"), first)
        yield* TestClock.adjust(1000)
        yield* states.set("hello", bundle("2.0.0"))
        assert.deepStrictEqual(yield* states.get("hello"), {
          ...first,
          current: { ...bundle("2.0.0"), installedAt: now + 1000 },
        })
        assert.deepStrictEqual(yield* states.paths, [bundle("2.0.0").path])
      }),
    )

    test(
      "say whether a plugin is enabled, installed or not, and an upgrade leaves that as it is",
      Effect.gen(function* () {
        const states = yield* PluginStates
        yield* states.enable("in-a-folder", false)
        assert.deepStrictEqual(yield* states.get("in-a-folder"), {
          pluginId: "in-a-folder",
          current: undefined,
          enabled: false,
        })
        yield* states.set("hello", bundle("1.0.0"))
        for (const enabled of [true, false, undefined, false]) {
          yield* states.enable("hello", enabled)
          assert.strictEqual((yield* states.get("hello"))?.enabled, enabled)
          assert.strictEqual((yield* states.get("hello"))?.current?.version, "1.0.0")
        }
        yield* states.set("hello", bundle("2.0.0"))
        assert.strictEqual((yield* states.get("hello"))?.enabled, false)
        assert.deepStrictEqual(
          (yield* states.all).map(({ pluginId }) => pluginId),
          ["hello", "in-a-folder"],
        )
        yield* states.remove("hello")
        yield* states.remove("hello")
        assert.isUndefined(yield* states.get("hello"))
        assert.deepStrictEqual(
          (yield* states.all).map(({ pluginId }) => pluginId),
          ["in-a-folder"],
        )
        assert.deepStrictEqual(yield* states.paths, [])
      }),
    )

    const log = recordLog()
    test(
      "that can't be read hide none of the others, nor where their bundles are",
      Effect.gen(function* () {
        const states = yield* PluginStates
        const sql = yield* SqlClient.SqlClient
        yield* states.set("good", bundle("1.0.0"))
        yield* states.set("odd", bundle("2.0.0"))
        yield* sql`UPDATE plugin_states SET enabled = 7 WHERE plugin_id = 'odd'`
        assert.deepStrictEqual(
          (yield* states.all).map(({ pluginId }) => pluginId),
          ["good"],
        )
        assert.deepInclude(yield* Effect.flip(states.get("odd")), { _tag: "UnreadableError", id: "odd" })
        assert.deepStrictEqual((yield* states.paths).toSorted(), [bundle("1.0.0").path, bundle("2.0.0").path])
        assert.isTrue(log.messages().some((message) => message.includes("state of plugin odd can't be read")))
        yield* states.enable("odd", true)
        assert.strictEqual((yield* states.get("odd"))?.enabled, true)
      }).pipe(Effect.provide(log.layer)),
    )

    it.live("survive their host, in a database that was made before there were any", () =>
      Effect.gen(function* () {
        const client = yield* kind.open()
        const opened = <A, E>(body: Effect.Effect<A, E, PluginStates | KeyValues | SqlClient.SqlClient>) =>
          Effect.provide(
            body,
            Layer.fresh(Layer.merge(PluginStates.layer, KeyValues.layer).pipe(Layer.provideMerge(client))),
          )
        yield* opened(
          Effect.gen(function* () {
            const sql = yield* SqlClient.SqlClient
            yield* (yield* KeyValues).set("hello", "key", new Uint8Array([1]))
            yield* sql`DROP TABLE plugin_states`
            yield* sql`DELETE FROM plugin_storage_migrations WHERE migration_id = 2`
          }),
        )
        yield* opened(Effect.flatMap(PluginStates, (states) => states.set("hello", bundle("1.0.0"))))
        yield* opened(
          Effect.gen(function* () {
            const current = (yield* (yield* PluginStates).get("hello"))?.current
            assert.strictEqual(current?.version, "1.0.0")
            // Milliseconds of these years have more than 32 bits.
            assert.isAbove(current?.installedAt ?? 0, 1_700_000_000_000)
            assert.isAtMost(current?.installedAt ?? Number.NaN, Date.now())
            assert.deepStrictEqual(yield* (yield* KeyValues).list("hello"), ["key"])
          }),
        )
      }).pipe(Effect.scoped),
    )
  })
}
