import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { setAlways } from "../../src/workspace/KeyValueStore.ts"
import { layerNodeSqlite } from "../../src/storage/NodeSqlite.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../../src/workspace/Workspace.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { DATABASE_FILE, WorkspaceDatabaseError, WorkspaceVersionError } from "../../src/workspace/WorkspaceDatabase.ts"

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "workspace-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true })),
)

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)

const inWorkspace = <A, E>(directory: string, use: (workspace: Workspace["Service"]) => Effect.Effect<A, E>) =>
  Effect.provide(
    Effect.flatMap(Workspace, use),
    Layer.fresh(Workspace.layerIn(directory).pipe(Layer.provide(MattermostPlugins.layer))),
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

  it.effect.each(["workspace_migrations", "plugin_storage_migrations"])(
    "refuses one from a later version, and leaves it as it was (%s)",
    (table) =>
      Effect.gen(function* () {
        const directory = yield* temporaryFolder
        yield* inWorkspace(directory, () => Effect.void)
        const versions = Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          yield* sql`INSERT OR IGNORE INTO ${sql(table)} (migration_id, name) VALUES (9999, 'future')`
          return yield* sql`SELECT migration_id FROM ${sql(table)}`
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
