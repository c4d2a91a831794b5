import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { HookDispatcher } from "../../src/hooks/HookDispatcher.ts"
import { setAlways } from "../../src/workspace/KeyValueStore.ts"
import { layerNodeSqlite } from "../../src/storage/NodeSqlite.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../../src/workspace/Workspace.ts"
import {
  DATABASE_FILE,
  WorkspaceDatabase,
  WorkspaceDatabaseError,
  WorkspaceVersionError,
} from "../../src/workspace/WorkspaceDatabase.ts"

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "workspace-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true })),
)

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)

const inWorkspace = <A, E>(directory: string, use: (workspace: Workspace["Service"]) => Effect.Effect<A, E>) =>
  Effect.provide(
    Effect.flatMap(Workspace, use),
    Layer.fresh(Workspace.layerIn(directory).pipe(Layer.provide(HookDispatcher.layer))),
  )

describe("the workspace's database", () => {
  it.effect("is there again when it is opened anew", () =>
    Effect.gen(function* () {
      const directory = join(yield* temporaryFolder, "data")
      const before = yield* inWorkspace(directory, (workspace) =>
        Effect.gen(function* () {
          const me = yield* workspace.me
          const team = yield* workspace.teams.getByName(TEAM_NAME)
          const channel = yield* workspace.channels.getByName(team.id, CHANNEL_NAME)
          const post = yield* workspace.createPost({ userId: me.id, channelId: channel.id, message: "kept" })
          yield* workspace.keyValues.set("p", "k", new Uint8Array([0, 255]), setAlways)
          yield* workspace.savePluginConfig("p", { setting: ["x", 1] })
          return { me, post, system: workspace.system }
        }),
      )
      yield* inWorkspace(directory, (workspace) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(workspace.system, before.system)
          assert.deepStrictEqual(yield* workspace.me, before.me)
          assert.strictEqual((yield* workspace.posts.get(before.post.id)).message, "kept")
          assert.deepStrictEqual([...(yield* workspace.keyValues.get("p", "k"))], [0, 255])
          assert.deepStrictEqual(yield* workspace.pluginConfigs.get("p"), { setting: ["x", 1] })
          assert.strictEqual((yield* workspace.users.list({ page: 0, perPage: 10 })).length, 1)
        }),
      )
    }),
  )

  it.effect("is closed to other users", () =>
    Effect.gen(function* () {
      const directory = join(yield* temporaryFolder, "deep", "data")
      yield* inWorkspace(directory, (workspace) =>
        Effect.gen(function* () {
          yield* workspace.keyValues.set("p", "k", new Uint8Array([1]), setAlways)
          assert.strictEqual(mode(directory), "700")
          for (const suffix of ["", "-wal", "-shm"]) {
            assert.strictEqual(mode(join(directory, `${DATABASE_FILE}${suffix}`)), "600", suffix)
          }
        }),
      )
    }),
  )

  it.effect("refuses one from a later version, and leaves it as it was", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      yield* inWorkspace(directory, () => Effect.void)
      const versions = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`INSERT OR IGNORE INTO workspace_migrations (migration_id, name) VALUES (9999, 'future')`
        return yield* sql`SELECT migration_id FROM workspace_migrations`
      }).pipe(Effect.provide(Layer.fresh(layerNodeSqlite(join(directory, DATABASE_FILE)))))
      const before = yield* versions
      const error = yield* Effect.flip(inWorkspace(directory, () => Effect.void))
      assert.instanceOf(error, WorkspaceVersionError)
      assert.deepInclude(error, { found: 9999, file: join(directory, DATABASE_FILE) })
      assert.deepStrictEqual(yield* versions, before)
    }),
  )

  it.effect("refuses a file that is no database, and a folder that can't be made", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      writeFileSync(join(directory, DATABASE_FILE), "a diary, not a database ".repeat(100))
      for (const place of [directory, join(directory, DATABASE_FILE, "below-a-file")]) {
        const error = yield* Effect.flip(inWorkspace(place, () => Effect.void))
        assert.instanceOf(error, WorkspaceDatabaseError)
        assert.include(error.message, join(place, DATABASE_FILE))
      }
    }),
  )

  it.effect("opens in a folder that was there, whatever its mode", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      chmodSync(directory, 0o755)
      yield* inWorkspace(directory, () => Effect.void)
      assert.strictEqual(mode(directory), "755")
      assert.strictEqual(mode(join(directory, DATABASE_FILE)), "600")
    }),
  )
})

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
      const context = yield* Effect.scoped(Layer.build(Layer.fresh(WorkspaceDatabase.layerMemory)))
      const sql = Context.get(context, SqlClient.SqlClient)
      assert.include((yield* Effect.flip(sql`SELECT 1`)).message, "not open")
    }),
  )
})
