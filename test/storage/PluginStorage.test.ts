/** What comes to the storage from outside: other hosts, other versions, servers and files that fail. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Option, String } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { KeyValues, type SetValueOptions, type ValueTooLargeError } from "../../src/storage/KeyValues.ts"
import { PluginSettings } from "../../src/storage/PluginSettings.ts"
import { PluginStorage } from "../../src/storage/PluginStorage.ts"
import { STORAGE_LIMIT, type StorageError } from "../../src/storage/StorageError.ts"
import { noPostgres } from "../support/findPostgres.ts"
import { temporaryFolder } from "../support/folder.ts"
import { postgresOfFile, postgresServer } from "../support/postgres.ts"
import { databases, untilBlocked } from "./databases.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

/** The storage of one host, which is open as long as the Scope. */
const hostOn = <E>(client: Layer.Layer<SqlClient.SqlClient, E>) =>
  Effect.map(Layer.build(PluginStorage.layer.pipe(Layer.provideMerge(Layer.fresh(client)), Layer.fresh)), (built) => ({
    values: Context.get(built, KeyValues),
    settings: Context.get(built, PluginSettings),
    sql: Context.get(built, SqlClient.SqlClient),
  }))

for (const kind of databases()) {
  describe.skipIf(kind.missing)(`the storage on ${kind.name}`, () => {
    it.live("is made by several hosts that start at once, and is there for later ones", () =>
      Effect.gen(function* () {
        for (let round = 0; round < 5; round++) {
          const client = yield* kind.open()
          const hosts = yield* Effect.all(
            Array.from({ length: 4 }, () => hostOn(client)),
            { concurrency: "unbounded" },
          )
          for (const [index, { values }] of hosts.entries()) yield* values.set("p", `${index}`, bytes("v"))
          const { sql, values } = yield* hostOn(client)
          assert.deepStrictEqual(yield* values.list("p"), ["0", "1", "2", "3"])
          assert.strictEqual((yield* sql`SELECT * FROM plugin_storage_migrations`).length, 2)
        }
      }),
    )

    it.effect("does not wait for ever for somebody else's transaction", () =>
      Effect.gen(function* () {
        const { sql, values } = yield* hostOn(yield* kind.open())
        const held = yield* Deferred.make<void>()
        const release = yield* Deferred.make<void>()
        // It ends before the connections do, whatever comes.
        const other = yield* Effect.gen(function* () {
          yield* values.set("p", "k", bytes("other"))
          yield* Deferred.succeed(held, undefined)
          yield* Deferred.await(release)
        }).pipe(sql.withTransaction, Effect.forkScoped)
        yield* Deferred.await(held)
        const waiting = yield* Effect.forkScoped(Effect.flip(values.set("p", "k", bytes("mine"))))
        yield* kind.untilBlocked(sql)
        yield* TestClock.adjust(STORAGE_LIMIT)
        const error = yield* Fiber.join(waiting)
        assert.deepInclude(error, { _tag: "StorageError", operation: "KeyValues.set", isRetryable: true })
        assert.include(error.message, "it has not answered for 30s")
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(other)
        assert.isTrue(yield* values.set("p", "k", bytes("mine"), { condition: { equals: bytes("other") } }))
      }),
    )

    it.live("of a later version is refused, and left as it was", () =>
      Effect.gen(function* () {
        const client = yield* kind.open()
        const { sql } = yield* hostOn(client)
        yield* sql`INSERT INTO plugin_storage_migrations (migration_id, name) VALUES (9999, 'future')`
        const error = yield* Effect.flip(hostOn(client))
        assert.deepInclude(error, { _tag: "StorageVersionError", found: 9999, supported: 2 })
        assert.strictEqual((yield* sql`SELECT * FROM plugin_storage_migrations`).length, 3)
      }),
    )

    it.live("says which table it can't use", () =>
      Effect.gen(function* () {
        const { settings, sql, values } = yield* hostOn(yield* kind.open())
        yield* sql`DROP TABLE plugin_key_values`
        const error = yield* Effect.flip(values.get("p", "k"))
        assert.deepInclude(error, { _tag: "StorageError", operation: "KeyValues.get", isRetryable: false })
        assert.match(error.message, /^KeyValues\.get: the plugins' database failed: .*plugin_key_values/)
        assert.deepStrictEqual(yield* settings.all, {})
      }),
    )
  })
}

describe("the storage", () => {
  it.live("is in a file, and says what is wrong with one", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = join(folder, "deep", "plugins.db")
      const use = <A, E>(body: Effect.Effect<A, E, KeyValues>, file: string) =>
        Effect.provide(body, Layer.fresh(PluginStorage.layerFile(file)))
      const set = Effect.flatMap(KeyValues, (values) => values.set("p", "k", new Uint8Array()))
      const get = Effect.flatMap(KeyValues, (values) => values.get("p", "k"))
      yield* use(set, file)
      assert.strictEqual(Option.getOrThrow(yield* use(get, file)).length, 0)

      const diary = join(folder, "diary.txt")
      writeFileSync(diary, "a diary, not a database ".repeat(100))
      for (const wrong of [diary, join(diary, "below-a-file")]) {
        const error = yield* Effect.flip(use(get, wrong))
        assert.strictEqual(error._tag, "StorageError")
        assert.include(error.message, wrong)
      }
    }),
  )

  it.live("is nowhere but on SQLite and PostgreSQL", () =>
    Effect.gen(function* () {
      const mysql = { onDialectOrElse: ({ orElse }: { readonly orElse: () => unknown }) => orElse() }
      const client = Layer.succeed(SqlClient.SqlClient, mysql as unknown as SqlClient.SqlClient)
      const error = yield* Effect.flip(hostOn(client))
      assert.include(error.message, "give it a SqlClient of one of them")
    }),
  )
})

describe.skipIf(noPostgres)("the storage on PostgreSQL", () => {
  const postgres = postgresOfFile()

  it.live("says what its user lacks", () =>
    Effect.gen(function* () {
      const { client } = yield* (yield* postgres).database
      const { sql } = yield* hostOn(client())
      yield* sql`CREATE ROLE guest LOGIN`
      const guest = client({ username: "guest" })
      assert.match((yield* Effect.flip(hostOn(guest))).message, /permission denied for table/)
      yield* sql`DROP TABLE plugin_storage_migrations`
      const error = yield* Effect.flip(hostOn(guest))
      assert.deepInclude(error, { _tag: "StorageError", isRetryable: false })
      assert.match(error.message, /permission denied for schema public; its user has to be allowed to make tables/)
    }),
  )

  it.live("does not mind how a backend spells its columns", () =>
    Effect.gen(function* () {
      const { client } = yield* (yield* postgres).database
      const spelling = { transformQueryNames: String.camelToSnake, transformResultNames: String.snakeToCamel }
      const { settings, values } = yield* hostOn(client(spelling))
      yield* values.set("p", "k", bytes("v"), { expiresIn: "1 hour" })
      assert.strictEqual(Option.getOrThrow(yield* values.get("p", "k")).length, 1)
      assert.deepStrictEqual(yield* values.list("p"), ["k"])
      yield* settings.save({ p: { snake_case: { camelCase: 1 } } })
      assert.deepStrictEqual(yield* settings.all, { p: { snake_case: { camelCase: 1 } } })
    }),
  )

  it.live("has one winner under serializable isolation, too, and tells the others to try again", () =>
    Effect.gen(function* () {
      const { client } = yield* (yield* postgres).database
      const serializable = client({ startupOptions: "-c default_transaction_isolation=serializable" })
      const { values } = yield* hostOn(serializable)
      const race = (options: SetValueOptions) =>
        Effect.gen(function* () {
          const attempt = Effect.result(values.set("p", "k", bytes("new"), options))
          const results = yield* Effect.all(
            Array.from({ length: 8 }, () => attempt),
            { concurrency: "unbounded" },
          )
          const won = results.filter((result) => result._tag === "Success" && result.success)
          assert.strictEqual(won.length, 1)
          for (const result of results) {
            if (result._tag === "Failure")
              assert.deepInclude(result.failure, { _tag: "StorageError", isRetryable: true })
          }
        })
      for (let round = 0; round < 5; round++) {
        yield* race({ condition: "absent" })
        yield* values.set("p", "k", bytes("old"))
        yield* race({ condition: { equals: bytes("old") } })
        yield* values.deleteAll("p")
      }
    }),
  )

  it.live("fails while the server is away, at once and with a name, and works again after", () =>
    Effect.gen(function* () {
      const server = yield* postgresServer
      const { client } = yield* server.database
      const { settings, sql, values } = yield* hostOn(client())
      yield* values.set("p", "k", bytes("kept"))
      yield* settings.save({ p: { kept: true } })
      const other = yield* hostOn(client())
      for (let round = 0; round < 2; round++) {
        // Somebody has the key's row until the server is gone; who waits for it is told.
        const holding = yield* other.sql
          .withTransaction(
            Effect.gen(function* () {
              yield* other.values.set("p", "k", bytes("lost"))
              const waiting = yield* Effect.forkChild(Effect.flip(values.set("p", "k", bytes("lost"))))
              yield* untilBlocked(sql)
              yield* server.kill
              assert.deepInclude(yield* Fiber.join(waiting), { _tag: "StorageError", operation: "KeyValues.set" })
            }),
          )
          .pipe(Effect.exit)
        assert.strictEqual(holding._tag, "Failure")
        const attempts: ReadonlyArray<Effect.Effect<unknown, StorageError | ValueTooLargeError>> = [
          values.get("p", "k"),
          values.delete("p", "k"),
          settings.all,
        ]
        for (const attempt of attempts) {
          const error = yield* Effect.flip(attempt)
          assert.deepInclude(error as StorageError, { _tag: "StorageError", isRetryable: true })
          assert.include(error.message, "check that the server runs")
        }
        yield* server.start
        assert.deepStrictEqual(
          Option.map(yield* values.get("p", "k"), (value) => [...value]),
          Option.some([...bytes("kept")]),
        )
        assert.deepStrictEqual(yield* settings.get("p"), { kept: true })
        assert.isTrue(yield* values.set("p", "k", bytes("kept"), { condition: { equals: bytes("kept") } }))
      }
    }),
  )
})
