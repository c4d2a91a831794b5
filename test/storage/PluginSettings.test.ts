/** Plugins' settings, the same on every database. */
import type { JsonObject } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { PluginSettings } from "../../src/storage/PluginSettings.ts"
import { StorageLimits } from "../../src/storage/StorageLimits.ts"
import { recordLog } from "../support/log.ts"
import { databases } from "./databases.ts"

const nested = (levels: number): JsonObject => (levels === 0 ? {} : { a: nested(levels - 1) })

for (const kind of databases()) {
  const test = <E>(
    name: string,
    body: Effect.Effect<void, E, PluginSettings | SqlClient.SqlClient | Scope.Scope>,
    limits = { value: 1, settings: 1000 },
  ) =>
    it.effect(name, () =>
      Effect.gen(function* () {
        const layer = PluginSettings.layer.pipe(Layer.provideMerge(yield* kind.open()), Layer.fresh)
        yield* Effect.provide(body, layer)
      }).pipe(Effect.provideService(StorageLimits, limits)),
    )

  describe.skipIf(kind.missing)(`settings on ${kind.name}`, () => {
    test(
      "are saved for some plugins, and stay for the others",
      Effect.gen(function* () {
        const settings = yield* PluginSettings
        assert.deepStrictEqual(yield* settings.get("a"), {})
        assert.deepStrictEqual(yield* settings.all, {})
        yield* settings.save({})
        yield* settings.save({ b: { x: 1 }, a: { list: [1, "two", null, { three: true }] } })
        yield* settings.save({ b: { y: -1.5e300 }, c: {} })
        assert.deepStrictEqual(yield* settings.get("b"), { y: -1.5e300 })
        const all = { a: { list: [1, "two", null, { three: true }] }, b: { y: -1.5e300 }, c: {} }
        assert.deepStrictEqual(yield* settings.all, all)
        assert.deepStrictEqual(Object.keys(yield* settings.all), ["a", "b", "c"])
      }),
    )

    test(
      "are any JSON",
      Effect.gen(function* () {
        const settings = yield* PluginSettings
        const odd = { "": "", "\0": "a\0b", quotes: `'"\\$1?`, astral: "𝒌", z: 1, a: { deep: nested(20) } }
        yield* settings.save({ odd })
        assert.deepStrictEqual(yield* settings.get("odd"), odd)
        assert.deepStrictEqual(Object.keys(yield* settings.get("odd")), Object.keys(odd))
      }),
    )

    test(
      "are saved together or not at all",
      Effect.gen(function* () {
        const settings = yield* PluginSettings
        yield* settings.save({ a: { before: true } })
        const bad: ReadonlyArray<readonly [JsonObject, string]> = [
          [{ n: Number.NaN }, "n is not a finite number"],
          [nested(60), "is nested too deeply"],
          [{ text: "\ud800" }, "text"],
          [{ text: "x".repeat(1000) }, "more than 1000 bytes"],
        ]
        for (const [unfit, reason] of bad) {
          const error = yield* Effect.flip(settings.save({ a: { after: true }, b: unfit, c: { after: true } }))
          assert.deepInclude(error, { _tag: "BadSettingsError", pluginId: "b" })
          assert.include(error.message, reason)
        }
        assert.deepStrictEqual(yield* settings.all, { a: { before: true } })
      }),
    )

    test(
      "are saved by many at once, none of whom waits for ever",
      Effect.gen(function* () {
        const settings = yield* PluginSettings
        const ids = Array.from({ length: 20 }, (_, index) => `p${index}`)
        const save = (by: number) => {
          const order = by % 2 === 0 ? ids : ids.toReversed()
          return settings.save(Object.fromEntries(order.map((id) => [id, { by }])))
        }
        for (let round = 0; round < 10; round++) {
          yield* Effect.all(
            Array.from({ length: 8 }, (_, by) => save(by)),
            { concurrency: "unbounded" },
          )
          const saved = Object.values(yield* settings.all)
          assert.strictEqual(saved.length, 20)
          assert.strictEqual(new Set(saved.map(({ by }) => by)).size, 1, "one of them was the last, for all plugins")
        }
      }),
    )

    const log = recordLog()
    test(
      "that can't be read are left out, and the log tells so once",
      Effect.gen(function* () {
        const settings = yield* PluginSettings
        const sql = yield* SqlClient.SqlClient
        const stored = { good: "{}", torn: '{"a":', list: "[]", deep: JSON.stringify(nested(60)) }
        for (const [plugin_id, config] of Object.entries(stored)) {
          yield* sql`INSERT INTO plugin_configs ${sql.insert({ plugin_id, config })}`
        }
        for (let round = 0; round < 3; round++) {
          assert.deepStrictEqual(yield* settings.all, { good: {} })
          for (const id of ["torn", "list", "deep"]) {
            assert.deepInclude(yield* Effect.flip(settings.get(id)), { _tag: "UnreadableError", id })
          }
        }
        const told = log.messages().filter((message) => message.includes("can't be read and is left out"))
        for (const id of ["torn", "list", "deep"]) {
          assert.strictEqual(told.filter((message) => message.includes(`settings of plugin ${id} `)).length, 1)
        }
        yield* settings.save({ torn: { mended: true } })
        assert.deepStrictEqual(yield* settings.get("torn"), { mended: true })
      }).pipe(Effect.provide(log.layer)),
    )
  })
}
