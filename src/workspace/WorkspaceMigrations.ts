import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const MAX_SAFE = Number.MAX_SAFE_INTEGER

/**
 * The steps that make the database's tables, by number; each runs once. Steps are only ever added: a database goes
 * forward, never back. Columns beside a `message` are there to be searched and counted by; the message is the truth,
 * but for a post's `update_at` and `delete_at`.
 */
export const workspaceMigrations = {
  "0001_workspace": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE system (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT`
    yield* sql`CREATE TABLE plugin_key_values (
      plugin_id TEXT NOT NULL,
      key TEXT NOT NULL,
      value BLOB NOT NULL,
      expire_at INTEGER NOT NULL DEFAULT 0,
      PRIMARY KEY (plugin_id, key)
    ) STRICT`
    yield* sql`CREATE INDEX plugin_key_values_expiry ON plugin_key_values (expire_at) WHERE expire_at <> 0`
    yield* sql`CREATE TABLE plugin_configs (plugin_id TEXT PRIMARY KEY, config TEXT NOT NULL) STRICT`
    yield* sql`CREATE TABLE users (
      id TEXT PRIMARY KEY,
      username TEXT NOT NULL UNIQUE,
      email TEXT NOT NULL UNIQUE,
      delete_at INTEGER NOT NULL,
      message BLOB NOT NULL
    ) STRICT`
    yield* sql`CREATE TABLE teams (
      id TEXT PRIMARY KEY,
      name TEXT NOT NULL UNIQUE,
      message BLOB NOT NULL
    ) STRICT`
    yield* sql`CREATE TABLE channels (
      id TEXT PRIMARY KEY,
      team_id TEXT NOT NULL,
      name TEXT NOT NULL,
      type INTEGER NOT NULL,
      display_name TEXT NOT NULL,
      delete_at INTEGER NOT NULL,
      last_post_at INTEGER NOT NULL DEFAULT 0,
      last_root_post_at INTEGER NOT NULL DEFAULT 0,
      total_msg_count INTEGER NOT NULL DEFAULT 0,
      total_msg_count_root INTEGER NOT NULL DEFAULT 0,
      message BLOB NOT NULL,
      UNIQUE (team_id, name)
    ) STRICT`
    yield* sql`CREATE TABLE posts (
      sequence INTEGER PRIMARY KEY,
      id TEXT NOT NULL UNIQUE,
      channel_id TEXT NOT NULL REFERENCES channels (id),
      user_id TEXT NOT NULL REFERENCES users (id),
      root_id TEXT NOT NULL,
      create_at INTEGER NOT NULL,
      update_at INTEGER NOT NULL,
      delete_at INTEGER NOT NULL,
      message BLOB NOT NULL
    ) STRICT`
    yield* sql`CREATE INDEX posts_channel_created ON posts (channel_id, create_at, sequence)`
    yield* sql`CREATE INDEX posts_channel_updated ON posts (channel_id, update_at)`
    yield* sql`CREATE INDEX posts_root ON posts (root_id) WHERE root_id <> ''`
  }),
  // Which version of a post an update replaces. And a time in nanoseconds, of a post that an earlier program took, is
  // no channel's last.
  "0002_versions": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`ALTER TABLE posts ADD COLUMN version INTEGER NOT NULL DEFAULT 0`
    yield* sql`UPDATE channels SET
      last_post_at = (SELECT coalesce(max(create_at), 0) FROM posts WHERE channel_id = channels.id AND create_at <= ${MAX_SAFE}),
      last_root_post_at = (SELECT coalesce(max(create_at), 0) FROM posts
        WHERE channel_id = channels.id AND create_at <= ${MAX_SAFE} AND root_id = '')
      WHERE last_post_at > ${MAX_SAFE} OR last_root_post_at > ${MAX_SAFE}`
  }),
}
