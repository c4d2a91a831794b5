import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { KeyValueStore, setAlways } from "../../src/workspace/KeyValueStore.ts"
import { WorkspaceDatabase } from "../../src/workspace/WorkspaceDatabase.ts"
import { pluginApi, workspaceLayer } from "./fixture.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const NONE = new Uint8Array()

const read = Effect.fnUntraced(function* (key: string) {
  const { one } = yield* pluginApi
  const { value } = yield* one.kVGet({ key })
  return value === undefined || value.length === 0 ? undefined : new TextDecoder().decode(value)
})

interface Case {
  readonly name: string
  /** The value before; the value `expired` has expired. */
  readonly before: string | undefined
  readonly atomic: boolean
  readonly oldValue: string | undefined
  readonly value: string | undefined
  readonly expected: { readonly success: boolean; readonly after: string | undefined } | { readonly status: number }
}

const MATRIX: ReadonlyArray<Case> = [
  ...[undefined, "a", "expired"].flatMap((before): ReadonlyArray<Case> => [
    { name: "sets", before, atomic: false, oldValue: undefined, value: "b", expected: { success: true, after: "b" } },
    {
      name: "deletes",
      before,
      atomic: false,
      oldValue: undefined,
      value: undefined,
      expected: { success: true, after: undefined },
    },
    { name: "needs atomic", before, atomic: false, oldValue: "a", value: "b", expected: { status: 400 } },
  ]),
  ...(
    [
      // before, old value, value, success, after
      [undefined, undefined, "b", true, "b"],
      ["a", undefined, "b", false, "a"],
      ["expired", undefined, "b", true, "b"],
      [undefined, "a", "b", false, undefined],
      ["a", "a", "b", true, "b"],
      ["a", "x", "b", false, "a"],
      ["a", "a", "a", true, "a"],
      ["expired", "expired", "b", false, undefined],
      [undefined, undefined, undefined, false, undefined],
      ["a", undefined, undefined, false, "a"],
      ["a", "a", undefined, true, undefined],
      ["a", "x", undefined, false, "a"],
      ["expired", "expired", undefined, false, undefined],
    ] as const
  ).map(([before, oldValue, value, success, after]): Case => ({
    name: "atomic",
    before,
    atomic: true,
    oldValue,
    value,
    expected: { success, after },
  })),
]

const prepare = Effect.fnUntraced(function* (before: Case["before"]) {
  const { one } = yield* pluginApi
  if (before === undefined) return
  yield* one.kVSetWithExpiry({ key: "k", value: bytes(before), expireInSeconds: before === "expired" ? 1n : 0n })
  if (before === "expired") yield* TestClock.adjust("1 second")
})

describe("KVSetWithOptions", () => {
  for (const { atomic, before, expected, name, oldValue, value } of MATRIX) {
    it.effect(`${name}: ${before} -> ${value} with old value ${oldValue} gives ${JSON.stringify(expected)}`, () =>
      Effect.gen(function* () {
        const { one } = yield* pluginApi
        yield* prepare(before)
        const set = one.kVSetWithOptions({
          key: "k",
          value: bytes(value ?? ""),
          options: { atomic, oldValue: bytes(oldValue ?? ""), expireInSeconds: 0n } as never,
        })
        if ("status" in expected) {
          const error = yield* Effect.flip(set)
          assert.strictEqual(error.statusCode, expected.status)
          assert.strictEqual(error.id, "model.plugin_kvset_options.is_valid.old_value.app_error")
          assert.strictEqual(yield* read("k"), before === "expired" ? undefined : before)
        } else {
          assert.strictEqual((yield* set).success, expected.success)
          assert.strictEqual(yield* read("k"), expected.after)
        }
      }).pipe(Effect.provide(workspaceLayer)),
    )
  }

  it.effect("without options sets always", () =>
    Effect.gen(function* () {
      const { one } = yield* pluginApi
      assert.strictEqual((yield* one.kVSetWithOptions({ key: "k", value: bytes("v") })).success, true)
      assert.strictEqual(yield* read("k"), "v")
    }).pipe(Effect.provide(workspaceLayer)),
  )
})

describe("the key-value store", () => {
  it.effect("compares and sets, compares and deletes", () =>
    Effect.gen(function* () {
      const { one } = yield* pluginApi
      const cas = (oldValue: string, newValue: string) =>
        Effect.map(
          one.kVCompareAndSet({ key: "k", oldValue: bytes(oldValue), newValue: bytes(newValue) }),
          ({ success }) => success,
        )
      const cad = (oldValue: string) =>
        Effect.map(one.kVCompareAndDelete({ key: "k", oldValue: bytes(oldValue) }), ({ success }) => success)
      assert.deepStrictEqual([yield* cas("", "a"), yield* cas("", "b"), yield* cas("x", "b")], [true, false, false])
      assert.strictEqual(yield* read("k"), "a")
      assert.deepStrictEqual([yield* cas("a", "b"), yield* cad(""), yield* cad("a")], [true, false, false])
      assert.strictEqual(yield* read("k"), "b")
      assert.strictEqual(yield* cad("b"), true)
      assert.strictEqual(yield* read("k"), undefined)
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("keeps the plugins apart", () =>
    Effect.gen(function* () {
      const { one, two } = yield* pluginApi
      yield* one.kVSet({ key: "k", value: bytes("one") })
      yield* two.kVSet({ key: "k", value: bytes("two") })
      yield* two.kVSet({ key: "l", value: bytes("two") })
      assert.strictEqual(yield* read("k"), "one")
      assert.deepStrictEqual((yield* one.kVList({ page: 0, perPage: 10 })).keys, ["k"])
      yield* two.kVDelete({ key: "k" })
      assert.strictEqual(yield* read("k"), "one")
      yield* one.kVDeleteAll({})
      assert.strictEqual(yield* read("k"), undefined)
      assert.deepStrictEqual((yield* two.kVList({ page: 0, perPage: 10 })).keys, ["l"])
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("takes keys of 1 to 150 characters", () =>
    Effect.gen(function* () {
      const { one } = yield* pluginApi
      // Characters of two UTF-16 units and four bytes count as one.
      const longest = "𝒌".repeat(150)
      yield* one.kVSet({ key: longest, value: bytes("v") })
      assert.strictEqual(yield* read(longest), "v")
      for (const key of ["", `${longest}k`]) {
        for (const call of [
          Effect.asVoid(one.kVSet({ key, value: bytes("v") })),
          Effect.asVoid(one.kVSet({ key, value: NONE })),
          Effect.asVoid(one.kVSetWithExpiry({ key, value: bytes("v"), expireInSeconds: 1n })),
          Effect.asVoid(one.kVCompareAndSet({ key, oldValue: NONE, newValue: bytes("v") })),
          Effect.asVoid(one.kVCompareAndDelete({ key, oldValue: bytes("v") })),
        ]) {
          const error = yield* Effect.flip(call)
          assert.strictEqual(error.statusCode, 400)
          assert.strictEqual(error.id, "model.plugin_key_value.is_valid.key.app_error")
        }
        assert.strictEqual(yield* read(key), undefined)
        yield* one.kVDelete({ key })
      }
      const error = yield* Effect.flip(one.kVSet({ key: "a\0b", value: bytes("v") }))
      assert.deepInclude(error, { id: "model.plugin_key_value.is_valid.key.app_error", statusCode: 400 })
      assert.include(error.message, "U+0000")
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("hides what has expired at once", () =>
    Effect.gen(function* () {
      const { one } = yield* pluginApi
      yield* one.kVSetWithExpiry({ key: "k", value: bytes("v"), expireInSeconds: 10n })
      yield* one.kVSetWithExpiry({ key: "past", value: bytes("v"), expireInSeconds: -1n })
      yield* one.kVSetWithExpiry({ key: "ever", value: bytes("v"), expireInSeconds: 9_223_372_036_854_775_807n })
      assert.strictEqual(yield* read("past"), undefined)
      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(yield* read("k"), "v")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* read("k"), undefined)
      assert.deepStrictEqual((yield* one.kVList({ page: 0, perPage: 10 })).keys, ["ever"])
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("forgets an expiry when the value is set again", () =>
    Effect.gen(function* () {
      const { one } = yield* pluginApi
      yield* one.kVSetWithExpiry({ key: "k", value: bytes("v"), expireInSeconds: 10n })
      yield* one.kVSet({ key: "k", value: bytes("w") })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* read("k"), "w")
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("lists keys in order, by pages", () =>
    Effect.gen(function* () {
      const { one } = yield* pluginApi
      const keys = Array.from({ length: 23 }, (_, index) => `key-${String(index).padStart(2, "0")}`)
      yield* Effect.forEach(keys.toReversed(), (key) => one.kVSet({ key, value: bytes("v") }))
      const list = (page: number, perPage: number) => Effect.map(one.kVList({ page, perPage }), (answer) => answer.keys)
      assert.deepStrictEqual(yield* list(0, 5), keys.slice(0, 5))
      assert.deepStrictEqual(yield* list(2, 5), keys.slice(10, 15))
      assert.deepStrictEqual(yield* list(5, 5), [])
      assert.deepStrictEqual(yield* list(0, 0), keys.slice(0, 10))
      assert.deepStrictEqual(yield* list(0, -1), keys.slice(0, 10))
      assert.deepStrictEqual(yield* list(-1, 5), keys.slice(0, 5))
      assert.deepStrictEqual(yield* list(0, 100), keys)
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("lets one of many win an atomic insert", () =>
    Effect.gen(function* () {
      const { one } = yield* pluginApi
      const answers = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, index) => index),
        (index) => one.kVCompareAndSet({ key: "mutex", oldValue: NONE, newValue: bytes(`${index}`) }),
        { concurrency: "unbounded" },
      )
      assert.strictEqual(answers.filter(({ success }) => success).length, 1)
    }).pipe(Effect.provide(workspaceLayer)),
  )

  it.effect("deletes expired rows once a day", () =>
    Effect.gen(function* () {
      const store = yield* KeyValueStore
      const sql = yield* SqlClient.SqlClient
      yield* store.set("p", "k", bytes("v"), { ...setAlways, expireInSeconds: 1n })
      yield* store.set("p", "l", bytes("v"), setAlways)
      assert.strictEqual((yield* sql`SELECT key FROM plugin_key_values`).length, 2)
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(
        (yield* sql<{ key: string }>`SELECT key FROM plugin_key_values`).map(({ key }) => key),
        ["l"],
      )
    }).pipe(Effect.provide(KeyValueStore.layer.pipe(Layer.provideMerge(Layer.fresh(WorkspaceDatabase.layerMemory))))),
  )
})
