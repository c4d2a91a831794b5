import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { layerNodeSqlite } from "../../src/storage/NodeSqlite.ts"

describe("the driver on node:sqlite", () => {
  const table = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE parent (id INTEGER PRIMARY KEY)`
    yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, parent INTEGER REFERENCES parent (id))`
    return sql
  })
  const memory = Effect.provide(Layer.fresh(layerNodeSqlite(":memory:")))

  it.effect("rolls a transaction back as a whole, and a nested one by itself", () =>
    Effect.gen(function* () {
      const sql = yield* table
      const insert = (id: number) => sql`INSERT INTO t (id) VALUES (${id})`
      yield* sql.withTransaction(Effect.andThen(insert(1), Effect.fail("no"))).pipe(Effect.flip)
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* insert(2)
          yield* sql.withTransaction(Effect.andThen(insert(3), Effect.fail("no"))).pipe(Effect.flip)
          yield* sql.withTransaction(insert(4))
        }),
      )
      assert.deepStrictEqual(yield* sql`SELECT id FROM t`.values, [[2], [4]])
    }).pipe(memory),
  )

  it.effect("keeps other fibers out of a transaction", () =>
    Effect.gen(function* () {
      const sql = yield* table
      const inside = yield* Deferred.make<void>()
      const transaction = yield* Effect.forkChild(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`INSERT INTO t (id) VALUES (1)`
            yield* Deferred.succeed(inside, undefined)
            yield* Effect.repeat(Effect.yieldNow, { times: 10 })
            return yield* Effect.fail("no")
          }),
        ),
      )
      yield* Deferred.await(inside)
      const seen = yield* sql`SELECT id FROM t`
      assert.deepStrictEqual(seen, [])
      assert.isTrue(Exit.isFailure(yield* Fiber.await(transaction)))
    }).pipe(memory),
  )

  it.effect("tells a taken name and a broken reference from other errors", () =>
    Effect.gen(function* () {
      const sql = yield* table
      yield* sql`INSERT INTO t (id, name) VALUES (1, 'a')`
      const taken = yield* Effect.flip(sql`INSERT INTO t (id, name) VALUES (2, 'a')`)
      assert.deepInclude(taken.reason, { _tag: "UniqueViolation", constraint: "t.name" })
      const broken = yield* Effect.flip(sql`INSERT INTO t (id, parent) VALUES (3, 7)`)
      assert.strictEqual(broken.reason._tag, "ConstraintError")
      const wrong = yield* Effect.flip(sql`SELECT nothing`)
      assert.strictEqual(wrong._tag, "SqlError")
    }).pipe(memory),
  )

  it.effect("answers objects, arrays and streams of the same statement", () =>
    Effect.gen(function* () {
      const sql = yield* table
      yield* sql`INSERT INTO t (id, name) VALUES (1, 'a'), (2, 'b')`
      const statement = sql<{ id: number; name: string }>`SELECT id, name FROM t ORDER BY id`
      assert.deepStrictEqual(yield* statement.values, [
        [1, "a"],
        [2, "b"],
      ])
      assert.deepStrictEqual(
        (yield* statement).map(({ id, name }) => ({ id, name })),
        [
          { id: 1, name: "a" },
          { id: 2, name: "b" },
        ],
      )
      assert.strictEqual((yield* Stream.runCollect(statement.stream)).length, 2)
    }).pipe(memory),
  )

  it.effect("closes the database with its scope", () =>
    Effect.gen(function* () {
      const context = yield* Effect.scoped(Layer.build(Layer.fresh(layerNodeSqlite(":memory:"))))
      const sql = Context.get(context, SqlClient.SqlClient)
      assert.include((yield* Effect.flip(sql`SELECT 1`)).message, "not open")
    }),
  )
})
