/** Keys and values, the same on every database. */
import { randomInt } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Layer, Option, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { KeyValues, MAX_KEY_LENGTH, type SetValueOptions } from "../../src/storage/KeyValues.ts"
import { StorageLimits } from "../../src/storage/StorageLimits.ts"
import { prepareTables } from "../../src/storage/StorageTables.ts"
import { databases } from "./databases.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const P = "com.example.p"

/** A value as text, undefined for none. */
const read = (key: string, pluginId = P) =>
  Effect.gen(function* () {
    const value = yield* (yield* KeyValues).get(pluginId, key)
    return Option.getOrUndefined(Option.map(value, (found) => new TextDecoder().decode(found)))
  })

type Condition = SetValueOptions["condition"] | "none"
const equals = (text: string): Condition => ({ equals: bytes(text) })

/** The value before, the condition; whether it is met. `expired` has expired, `later` will do so. */
const CONDITIONS: ReadonlyArray<readonly [before: string | undefined, condition: Condition, met: boolean]> = [
  [undefined, "none", true],
  ["a", "none", true],
  ["", "none", true],
  ["expired", "none", true],
  [undefined, "absent", true],
  ["a", "absent", false],
  ["", "absent", false],
  ["expired", "absent", true],
  [undefined, equals(""), false],
  [undefined, equals("a"), false],
  ["a", equals("a"), true],
  ["a", equals("A"), false],
  ["a", equals(""), false],
  ["", equals(""), true],
  ["", equals("a"), false],
  ["expired", equals("expired"), false],
  ["later", "absent", false],
  ["later", equals("later"), true],
]

const prepare = (before: string | undefined) =>
  Effect.gen(function* () {
    const values = yield* KeyValues
    // Another's is never in the way.
    yield* values.set("com.example.other", "k", bytes("other"))
    if (before === undefined) return
    const expiresIn = { expired: 1, later: 2 }[before]
    yield* values.set(P, "k", bytes(before), { expiresIn })
    if (expiresIn !== undefined) yield* TestClock.adjust("1 millis")
  })

/** Texts that sort otherwise by language, by UTF-16 and by bytes. */
const TEXTS = [
  "a",
  "B",
  "b",
  "Z",
  "a%",
  "a_",
  "a b",
  "a-b",
  "ab",
  "é",
  "e\u0301",
  "Ａ",
  "𝒌",
  "\u{10ffff}",
  "\ud7ff",
  "\ue000",
]
const byBytes = TEXTS.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))

for (const kind of databases()) {
  /** A test on a database of its own. */
  const test = <E>(
    name: string,
    body: Effect.Effect<void, E, KeyValues | SqlClient.SqlClient | Scope.Scope>,
    run: typeof it.effect = it.effect,
  ) =>
    run(name, () =>
      Effect.gen(function* () {
        const client = yield* kind.open()
        yield* Effect.provide(body, KeyValues.layer.pipe(Layer.provideMerge(client), Layer.fresh))
      }),
    )

  /** A test of several hosts on one database. */
  const hostsTest = <E>(
    name: string,
    body: (hosts: ReadonlyArray<KeyValues["Service"]>) => Effect.Effect<void, E, Scope.Scope>,
  ) =>
    it.live(name, () =>
      Effect.gen(function* () {
        const client = yield* kind.open()
        const host = Effect.provide(
          KeyValues,
          yield* Layer.build(KeyValues.layer.pipe(Layer.provide(client))).pipe(Effect.orDie),
        )
        yield* body(
          yield* Effect.all(
            Array.from({ length: 5 }, () => host),
            { concurrency: "unbounded" },
          ),
        )
      }),
    )

  describe.skipIf(kind.missing)(`keys and values on ${kind.name}`, () => {
    for (const [before, condition, met] of CONDITIONS) {
      const named =
        typeof condition === "object" ? `it is ${JSON.stringify(Buffer.from(condition.equals).toString())}` : condition
      test(
        `are set over ${before} if ${named}: ${met}`,
        Effect.gen(function* () {
          const values = yield* KeyValues
          yield* prepare(before)
          const options = condition === "none" ? undefined : { condition }
          assert.strictEqual(yield* values.set(P, "k", bytes("new"), options), met)
          assert.strictEqual(yield* read("k"), met ? "new" : before === "expired" ? undefined : before)
          assert.strictEqual(yield* read("k", "com.example.other"), "other")
        }),
      )
      // There is nothing to delete where there is nothing; nor is there a condition for it.
      if (condition === "absent") continue
      const deleted = met && before !== undefined && before !== "expired"
      test(
        `are deleted, ${before}, if ${named}: ${deleted}`,
        Effect.gen(function* () {
          const values = yield* KeyValues
          yield* prepare(before)
          const options = typeof condition === "object" ? condition : {}
          assert.strictEqual(yield* values.delete(P, "k", options), deleted)
          assert.strictEqual(yield* read("k"), deleted || before === "expired" ? undefined : before)
          assert.strictEqual(yield* read("k", "com.example.other"), "other")
        }),
      )
    }

    test(
      "are deleted all at once, each plugin's by itself",
      Effect.gen(function* () {
        const values = yield* KeyValues
        for (const key of ["k", "l"]) yield* values.set(P, key, bytes("v"))
        yield* values.set("com.example.other", "k", bytes("w"))
        yield* values.deleteAll(P)
        assert.deepStrictEqual(yield* values.list(P), [])
        assert.deepStrictEqual(yield* values.list("com.example.other"), ["k"])
      }),
    )

    test(
      "expire when they are said to, and not before",
      Effect.gen(function* () {
        const values = yield* KeyValues
        const set = (key: string, expiresIn: Duration.Input) => values.set(P, key, bytes("v"), { expiresIn })
        yield* set("second", "1 second")
        yield* set("fraction", 1.5)
        yield* set("past", -5)
        yield* set("now", 0)
        yield* set("ever", Number.POSITIVE_INFINITY)
        yield* set("long", Number.MAX_VALUE)
        yield* set("renewed", "1 second")
        yield* values.set(P, "renewed", bytes("w"))
        assert.deepStrictEqual(yield* values.list(P), ["ever", "fraction", "long", "renewed", "second"])
        yield* TestClock.adjust("999 millis")
        assert.strictEqual(yield* read("second"), "v")
        assert.deepStrictEqual(yield* values.list(P), ["ever", "long", "renewed", "second"])
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* read("second"), undefined)
        assert.isFalse(yield* values.delete(P, "second"))
        assert.deepStrictEqual(yield* values.list(P), ["ever", "long", "renewed"])
      }),
    )

    it.effect("that have expired are deleted when a host starts, and once a day", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* prepareTables
        const stored = Effect.map(sql<{ key: string }>`SELECT key FROM plugin_key_values`, (rows) =>
          rows.map(({ key }) => key).sort(),
        )
        // What the host does of its own accord is waited for by nobody.
        const gone = (key: string) => Effect.repeat(stored, { until: (keys) => !keys.includes(key) })
        yield* sql`INSERT INTO plugin_key_values ${sql.insert({ plugin_id: P, key: "old", value: bytes("v"), expire_at: -1 })}`
        const values = yield* KeyValues.make
        yield* gone("old")
        yield* values.set(P, "k", bytes("v"), { expiresIn: "1 second" })
        yield* values.set(P, "l", bytes("v"))
        yield* TestClock.adjust("23 hours")
        assert.deepStrictEqual(yield* stored, ["k", "l"])
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(yield* gone("k"), ["l"])
        // On one connection answers come in order: when it is gone, the host has been told so, and waits for the next day.
      }).pipe(Effect.provide(Layer.unwrap(kind.open(1)))),
    )

    test(
      "are listed in the order of their bytes, by cursor and by page",
      Effect.gen(function* () {
        const values = yield* KeyValues
        for (const key of TEXTS) yield* values.set(P, key, bytes("v"))
        assert.deepStrictEqual(yield* values.list(P), byBytes)
        for (const size of [1, 3, TEXTS.length]) {
          const pages: Array<string> = []
          for (let after = ""; ;) {
            const page = yield* values.list(P, { after, limit: size })
            pages.push(...page)
            if (page.length === 0) break
            after = page.at(-1)!
          }
          assert.deepStrictEqual(pages, byBytes)
          const second = yield* values.list(P, { offset: size, limit: size })
          assert.deepStrictEqual(second, byBytes.slice(size, 2 * size))
        }
        assert.deepStrictEqual(yield* values.list(P, { offset: -1, limit: -1 }), byBytes)
      }),
    )

    test(
      "are listed by what they begin with, which is no pattern",
      Effect.gen(function* () {
        const values = yield* KeyValues
        for (const text of TEXTS) {
          yield* values.set(P, text, bytes("v"))
          yield* values.set(P, `${text}/1`, bytes("v"))
        }
        const all = yield* values.list(P)
        assert.strictEqual(all.length, 2 * TEXTS.length)
        for (const prefix of [...TEXTS, "a/", "nothing", ""]) {
          const expected = all.filter((key) => key.startsWith(prefix))
          assert.deepStrictEqual(yield* values.list(P, { prefix }), expected, prefix)
          const after = expected[0] ?? ""
          assert.deepStrictEqual(yield* values.list(P, { prefix, after }), expected.slice(1))
        }
      }),
    )

    test(
      "are a hundred in a list, unless more are asked for",
      Effect.gen(function* () {
        const values = yield* KeyValues
        const sql = yield* SqlClient.SqlClient
        const keys = Array.from({ length: 1200 }, (_, index) => String(index).padStart(4, "0"))
        yield* sql.withTransaction(Effect.forEach(keys, (key) => values.set(P, key, bytes("v"))))
        assert.deepStrictEqual(yield* values.list(P), keys.slice(0, 100))
        assert.deepStrictEqual(yield* values.list(P, { limit: 1100 }), keys.slice(0, 1100))
      }),
    )

    test(
      "have keys of 1 to 500 characters, without U+0000",
      Effect.gen(function* () {
        const values = yield* KeyValues
        // What can't be compressed, since PostgreSQL's index has room for so many bytes.
        const character = () => String.fromCodePoint(randomInt(0x10000, 0x10ffff))
        const plugin = Array.from({ length: 190 }, () => String.fromCharCode(randomInt(0x61, 0x7b))).join("")
        const longest = Array.from({ length: MAX_KEY_LENGTH }, character).join("")
        yield* values.set(plugin, longest, bytes("v"))
        assert.strictEqual(yield* read(longest, plugin), "v")
        assert.isTrue(yield* values.delete(plugin, longest))
        const bad = { "": "is empty", [`${longest}k`]: "has 501 characters", "a\0b": "U+0000", "\ud800": "surrogate" }
        for (const [key, reason] of Object.entries(bad)) {
          const error = yield* Effect.flip(values.set(P, key, bytes("v")))
          assert.deepInclude(error, { _tag: "BadKeyError", pluginId: P })
          assert.include(error.message, reason)
          assert.strictEqual(yield* read(key), undefined)
          assert.isFalse(yield* values.delete(P, key))
        }
        for (const options of [{ after: "a\0" }, { prefix: "\0" }, { prefix: "\udfff" }]) {
          assert.strictEqual((yield* Effect.flip(values.list(P, options)))._tag, "BadKeyError")
        }
        assert.deepStrictEqual(yield* values.list(P, { after: `${longest}k` }), [])
      }),
    )

    test(
      "are any bytes, up to the largest",
      Effect.gen(function* () {
        const values = yield* KeyValues
        const { value: limit } = yield* StorageLimits
        const largest = new Uint8Array(limit).map((_, index) => (index * 7919) >> 3)
        yield* values.set(P, "k", largest)
        assert.strictEqual(Buffer.compare(Option.getOrThrow(yield* values.get(P, "k")), largest), 0)
        assert.isTrue(yield* values.set(P, "k", bytes("small"), { condition: { equals: largest } }))
        const error = yield* Effect.flip(values.set(P, "k", new Uint8Array(limit + 1)))
        assert.deepInclude(error, { _tag: "ValueTooLargeError", pluginId: P, key: "k", limit })
        assert.strictEqual(yield* read("k"), "small")
      }),
    )

    test(
      "are as large as is configured, and larger ones from before are not read",
      Effect.gen(function* () {
        const values = yield* KeyValues
        yield* values.set(P, "k", bytes("12345"))
        const strict = yield* Effect.provideService(KeyValues.make, StorageLimits, { value: 4, settings: 4 })
        assert.strictEqual((yield* Effect.flip(strict.set(P, "l", bytes("12345"))))._tag, "ValueTooLargeError")
        assert.strictEqual((yield* Effect.flip(strict.get(P, "k")))._tag, "ValueTooLargeError")
        assert.isTrue(yield* strict.set(P, "k", bytes("1234"), { condition: { equals: bytes("12345") } }))
        assert.strictEqual(yield* read("k"), "1234")
      }),
    )

    test(
      "go with the transaction that they are set in",
      Effect.gen(function* () {
        const values = yield* KeyValues
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE mine (id INTEGER PRIMARY KEY)`
        yield* Effect.flip(sql.withTransaction(Effect.andThen(values.set(P, "k", bytes("v")), Effect.fail("no"))))
        assert.strictEqual(yield* read("k"), undefined)
        yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`INSERT INTO mine (id) VALUES (1)`
            // What is refused never reaches the database, so the transaction lives; what fails in one inside is undone there.
            yield* Effect.flip(values.set(P, "", bytes("v")))
            const taken = sql.withTransaction(
              Effect.andThen(values.set(P, "k", bytes("v")), sql`INSERT INTO mine (id) VALUES (1)`),
            )
            assert.strictEqual((yield* Effect.flip(taken))._tag, "SqlError")
            assert.isTrue(yield* values.set(P, "k", bytes("w"), { condition: "absent" }))
          }),
        )
        assert.strictEqual(yield* read("k"), "w")
      }),
    )

    hostsTest("are set by one of many who want them absent, or want the same", (hosts) =>
      Effect.gen(function* () {
        const race = <E>(attempt: (values: KeyValues["Service"], index: number) => Effect.Effect<boolean, E>) =>
          Effect.gen(function* () {
            const attempts = [...hosts, ...hosts, ...hosts].map((values, index) => attempt(values, index))
            const answers = yield* Effect.all(attempts, { concurrency: "unbounded" })
            assert.strictEqual(answers.filter(Boolean).length, 1)
          })
        const unchanged = { condition: { equals: bytes("v") } }
        for (let round = 0; round < 5; round++) {
          yield* race((values, index) => values.set(P, "k", bytes(`${index}`), { condition: "absent" }))
          yield* hosts[0]!.set(P, "k", bytes("v"))
          yield* race((values, index) => values.set(P, "k", bytes(`${index}`), unchanged))
          yield* hosts[0]!.set(P, "k", bytes("v"))
          yield* race((values) => values.delete(P, "k", unchanged.condition))
        }
      }),
    )

    hostsTest("count to what all hosts together have added", (hosts) =>
      Effect.gen(function* () {
        yield* hosts[0]!.set(P, "n", bytes("0"))
        const add = (values: KeyValues["Service"]) =>
          Effect.gen(function* () {
            const before = Option.getOrThrow(yield* values.get(P, "n"))
            const after = bytes(`${Number(new TextDecoder().decode(before)) + 1}`)
            return yield* values.set(P, "n", after, { condition: { equals: before } })
          }).pipe(Effect.repeat({ until: (done) => done }))
        yield* Effect.all(
          hosts.map((values) => Effect.repeat(add(values), { times: 9 })),
          { concurrency: "unbounded" },
        )
        const value = Option.getOrThrow(yield* hosts[0]!.get(P, "n"))
        assert.strictEqual(new TextDecoder().decode(value), "50")
      }),
    )
  })
}
