/** What goes wrong around the workspace's database: others that use it, a full disk. */
import { existsSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { setAlways } from "../../src/workspace/KeyValueStore.ts"
import { layerNodeSqlite } from "../../src/storage/NodeSqlite.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../../src/workspace/Workspace.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { DATABASE_FILE, WorkspaceDatabase, WorkspaceInUseError } from "../../src/workspace/WorkspaceDatabase.ts"
import { temporaryFolder } from "../support/folder.ts"
import { eventually } from "../support/host.ts"
import { recordLog } from "../support/log.ts"
import { program } from "../support/program.ts"

/** A workspace in a folder, with its database's client. */
const workspaceIn = (directory: string) =>
  Layer.fresh(
    Workspace.layer.pipe(
      Layer.provideMerge(WorkspaceDatabase.layer(directory)),
      Layer.provide(MattermostPlugins.layer),
    ),
  )

/** Another program that has the database's lock until it lets go. */
const locked = (file: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const other = new DatabaseSync(file)
      other.exec("BEGIN IMMEDIATE")
      return other
    }),
    (other) => Effect.sync(() => other.close()),
  )

describe("a database that another program has locked", () => {
  it.live("is waited for, and everybody else goes on meanwhile", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "some.db")
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY)`
        const other = yield* locked(file)
        const writing = yield* Effect.forkChild(sql.withTransaction(sql`INSERT INTO t VALUES (1)`))
        let ticks = 0
        yield* Effect.repeat(
          Effect.delay(
            Effect.sync(() => ticks++),
            "10 millis",
          ),
          { times: 5 },
        )
        assert.isUndefined(writing.pollUnsafe())
        other.exec("COMMIT")
        yield* Fiber.join(writing)
        assert.deepStrictEqual(yield* sql`SELECT id FROM t`, [{ id: 1 }])
      }).pipe(Effect.provide(Layer.fresh(layerNodeSqlite(file))))
    }).pipe(Effect.scoped),
  )

  it.effect("is given up in the end, with an error that says so", () => {
    const log = recordLog()
    return Effect.gen(function* () {
      const directory = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const workspace = yield* Workspace
        const set = (key: string) => workspace.keyValues.set("p", key, new Uint8Array([1]), setAlways)
        const other = yield* locked(join(directory, DATABASE_FILE))
        const inUse = {
          statusCode: 503,
          message: "The workspace's database is in use by another program; see the host's log",
        }
        const writing = yield* Effect.forkChild(
          Effect.forEach(["a", "b", "c"], (key) => Effect.flip(set(key)), { concurrency: "unbounded" }),
        )
        yield* TestClock.adjust("4 seconds")
        assert.isUndefined(writing.pollUnsafe())
        // Together they wait five seconds, and who comes later does not wait at all, until one gets through.
        yield* TestClock.adjust("2 seconds")
        for (const error of [...(yield* Fiber.join(writing)), yield* Effect.flip(set("d"))]) {
          assert.deepInclude(error, inUse)
        }
        // Reading needs no lock.
        assert.strictEqual((yield* workspace.keyValues.get("p", "k")).length, 0)
        assert.deepInclude(yield* Effect.flip(set("e")), inUse)
        other.exec("COMMIT")
        assert.isTrue(yield* set("k"))
      }).pipe(Effect.provide(workspaceIn(directory)))
      assert.isTrue(log.messages().some((message) => message.includes("end the program that has locked it")))
    }).pipe(Effect.scoped, Effect.provide(log.layer))
  })
})

describe("a disk without room", () => {
  it.effect("is said to be full, keeps what it has, and takes more when there is room again", () => {
    const log = recordLog()
    return Effect.gen(function* () {
      const workspace = yield* Workspace
      const sql = yield* SqlClient.SqlClient
      const me = yield* workspace.me
      const team = yield* workspace.teams.getByName(TEAM_NAME)
      const channel = yield* workspace.channels.getByName(team.id, CHANNEL_NAME)
      const post = (message: string) => workspace.createPost({ userId: me.id, channelId: channel.id, message })
      const room = (pages: number) => sql.unsafe(`PRAGMA max_page_count = ${pages}`)
      const first = yield* post("first")
      const [{ page_count: pages }] = (yield* sql`PRAGMA page_count`) as unknown as [{ page_count: number }]

      yield* room(pages)
      const large = workspace.keyValues.set("p", "k", new Uint8Array(1_000_000), setAlways)
      for (let round = 0; round < 3; round++) {
        const errors = [yield* Effect.flip(large), yield* Effect.flip(post("x".repeat(16_000)))]
        for (const error of errors) {
          assert.deepInclude(error, {
            id: "app.workspace.database.app_error",
            statusCode: 507,
            message: "The workspace's database has no room left on its disk; see the host's log",
          })
        }
      }
      assert.strictEqual((yield* workspace.posts.get(first.id)).message, "first")
      assert.strictEqual((yield* workspace.channels.get(channel.id)).totalMsgCount, 1n, "nothing was half done")

      yield* room(1_000_000)
      assert.isTrue(yield* large)
      yield* post("second")
      assert.strictEqual((yield* workspace.channels.get(channel.id)).totalMsgCount, 2n)
      yield* sql`PRAGMA query_only = 1`
      assert.include((yield* Effect.flip(post("third"))).message, "can't be written to")
      assert.isTrue(log.messages().some((message) => message.includes("make room")))
    }).pipe(
      Effect.provide(Layer.unwrap(Effect.map(temporaryFolder, workspaceIn))),
      Effect.scoped,
      Effect.provide(log.layer),
    )
  })
})

describe("a data folder", () => {
  it.effect("is one workspace's at a time", () =>
    Effect.gen(function* () {
      const directory = join(yield* temporaryFolder, "data")
      const open = Effect.provide(Workspace, workspaceIn(directory))
      yield* Effect.gen(function* () {
        for (let round = 0; round < 2; round++) {
          const error = yield* Effect.flip(open)
          assert.instanceOf(error, WorkspaceInUseError)
          assert.deepInclude(error, { directory, pid: process.pid })
          assert.include(error.message, "use another folder (--data)")
        }
      }).pipe(Effect.provide(workspaceIn(directory)))
      assert.isFalse(existsSync(join(directory, "workspace.pid")))
      yield* open
    }).pipe(Effect.scoped),
  )

  it.live("is free when the process that had it is gone, however it went", () =>
    Effect.gen(function* () {
      const directory = join(yield* temporaryFolder, "data")
      const script = resolve(import.meta.dirname, "../fixtures/holdsDataFolder.ts")
      const open = Effect.provide(Workspace, workspaceIn(directory))
      for (let round = 0; round < 3; round++) {
        const { child, log, output } = yield* program(process.execPath, [script, directory])
        yield* eventually("it holds the folder", () => output() !== "" || child.exitCode !== null, 30_000)
        assert.strictEqual(output().trim(), "held", log())
        const error = yield* Effect.flip(open)
        assert.deepInclude(error, { _tag: "WorkspaceInUseError", pid: child.pid })
        child.kill("SIGKILL")
        yield* eventually("it is gone", () => child.signalCode !== null)
        // What it has left behind hinders nobody.
        assert.strictEqual(readFileSync(join(directory, "workspace.pid"), "utf8"), `${child.pid}\n`)
      }
      yield* open
    }).pipe(Effect.scoped),
  )
})
