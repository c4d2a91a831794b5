import { create } from "@bufbuild/protobuf"
import { Clock, Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, type SqlError, type Statement } from "effect/sql"
import { PluginApiError } from "../api/PluginApi.ts"
import { type Post, type PostList, PostListSchema, PostSchema } from "../generated/mattermost/pluginapi/v1/post_pb.js"
import { encodeMessage, MessageColumn } from "./MessageColumn.ts"
import { DEFAULT_PAGE_SIZE, limitOf, type Page } from "./Paging.ts"
import { rowReader } from "./Rows.ts"
import { notFound, storing } from "./WorkspaceError.ts"
import { MAX_LIST_BYTES, MAX_POST_BYTES, WorkspaceLimits } from "./WorkspaceLimits.ts"

/** The most posts that a list by time has (Mattermost). */
const MAX_POSTS_SINCE = 1000

/**
 * Room that a new post leaves, in bytes, for what the host adds to it later: that it was pinned, or edited, and when.
 */
const GROWTH = 256

/** A post, and which of its versions it is. */
export interface PostVersion {
  readonly post: Post
  readonly version: number
}

/** Where a post is to go, as far as that is there. */
export interface Place {
  readonly hasUser: boolean
  /** When the channel was archived, 0 if it was not; undefined where there is none. */
  readonly archivedAt: number | undefined
  /** The post to reply to, unless it is deleted. */
  readonly root: { readonly channelId: string; readonly rootId: string } | undefined
}

/** The posts. Lists are newest first and leave deleted posts out, unless they say otherwise. */
export class PostStore extends Context.Service<
  PostStore,
  {
    /** A post that is not deleted. */
    readonly get: (id: string) => Effect.Effect<Post, PluginApiError>
    /** As `get`, with the version for `update`. */
    readonly getVersion: (id: string) => Effect.Effect<PostVersion, PluginApiError>
    readonly forChannel: (channelId: string, page: Page) => Effect.Effect<PostList, PluginApiError>
    /** Posts made, changed or deleted after a time in milliseconds; the deleted ones are there, with `deleteAt`. */
    readonly since: (channelId: string, time: number) => Effect.Effect<PostList, PluginApiError>
    /** Posts newer than a post; page 0 is the one next to it. */
    readonly after: (channelId: string, postId: string, page: Page) => Effect.Effect<PostList, PluginApiError>
    /** Posts older than a post; page 0 is the one next to it. */
    readonly before: (channelId: string, postId: string, page: Page) => Effect.Effect<PostList, PluginApiError>
    /** The root and the replies of the thread that a post belongs to; of very many the newest. */
    readonly thread: (postId: string) => Effect.Effect<PostList, PluginApiError>
    /** What there is of where a post is to go. */
    readonly place: (post: Post) => Effect.Effect<Place, PluginApiError>
    /** Stores a new post and counts it in its channel; in a transaction, which is its caller's. */
    readonly insert: (post: Post) => Effect.Effect<void, PluginApiError>
    /**
     * Stores a post in place of a version of it. Answers whether it did: somebody may have changed the post since
     * that version was read. Fails when it has been deleted meanwhile (404).
     */
    readonly update: (post: Post, version: number) => Effect.Effect<boolean, PluginApiError>
    /** Marks a post, and the replies to it, as deleted; answers the post as it is then. */
    readonly delete: (id: string) => Effect.Effect<Post, PluginApiError>
  }
>()("effect-plugin-supervisor/workspace/PostStore") {
  static readonly layer: Layer.Layer<PostStore, never, SqlClient.SqlClient> = Layer.effect(
    PostStore,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { pageItems } = yield* WorkspaceLimits

      // A reply with an impossible time, of a version that took it, is none of the last.
      const columns = sql.literal(
        `p.id, p.message, p.version, p.update_at, p.delete_at,
        (SELECT count(*) FROM posts r WHERE r.root_id = p.id AND r.root_id <> '' AND r.delete_at = 0) AS reply_count,
        (SELECT max(r.create_at) FROM posts r WHERE r.root_id = p.id AND r.root_id <> '' AND r.delete_at = 0
          AND r.create_at <= ${Number.MAX_SAFE_INTEGER}) AS last_reply_at`,
      )

      const read = (found: ReadonlyArray<unknown>) => Effect.map(rows.all(found), (read) => read.map(postOf))

      const find = Effect.fnUntraced(function* (id: string, where = sql`p.delete_at = 0`) {
        const row = yield* Effect.flatMap(
          sql`SELECT ${columns} FROM posts p WHERE p.id = ${id} AND ${where}`,
          rows.first,
        )
        if (row === undefined) return yield* notFound("app.post.get.app_error", `post ${id}`)
        return { post: postOf(row), version: row.version }
      })

      /** How many of the newest posts go into one answer, by their size. */
      const fitting = Effect.fnUntraced(function* (where: Statement.Fragment, limit: number) {
        const [found] = yield* sql<{ readonly count: number }>`
          SELECT count(*) AS count FROM (
            SELECT sum(length(p.message)) OVER (ORDER BY p.create_at DESC, p.sequence DESC) AS total FROM posts p
            WHERE ${where} ORDER BY p.create_at DESC, p.sequence DESC LIMIT ${limit}
          ) WHERE total <= ${MAX_LIST_BYTES}`
        return found!.count
      })

      const newest = Effect.fnUntraced(function* (where: Statement.Fragment, limit: number) {
        const count = yield* fitting(where, limit)
        return yield* Effect.flatMap(
          sql`SELECT ${columns} FROM posts p WHERE ${where} ORDER BY p.create_at DESC, p.sequence DESC LIMIT ${count}`,
          read,
        )
      })

      /** A page of a channel's posts; one more is read, to know whether there are more. */
      const page = Effect.fnUntraced(function* (
        channelId: string,
        where: Statement.Fragment,
        order: "ASC" | "DESC",
        wanted: Page,
      ) {
        const { limit, offset } = yield* limitOf(wanted, pageItems)
        const direction = sql.literal(order)
        const selection = sql`FROM posts p WHERE p.channel_id = ${channelId} AND p.delete_at = 0 AND ${where}
          ORDER BY p.create_at ${direction}, p.sequence ${direction} LIMIT ${limit + 1} OFFSET ${offset}`
        // A page of the default size fits whatever is on it.
        if (limit > DEFAULT_PAGE_SIZE) {
          const [found] = yield* sql<{ readonly bytes: number | null }>`
            SELECT sum(bytes) AS bytes FROM (SELECT length(p.message) AS bytes ${selection})`
          if ((found!.bytes ?? 0) > MAX_LIST_BYTES) return yield* tooLarge(limit)
        }
        const found = yield* sql`SELECT ${columns} ${selection}`
        const posts = yield* read(found.slice(0, limit))
        return listOf(order === "ASC" ? posts.toReversed() : posts, found.length > limit)
      })

      const beside = (order: "ASC" | "DESC") =>
        Effect.fnUntraced(
          function* (channelId: string, postId: string, wanted: Page) {
            yield* find(postId, sql`p.channel_id = ${channelId}`)
            const comparison = sql.literal(order === "ASC" ? ">" : "<")
            const reference = sql`(SELECT create_at, sequence FROM posts WHERE id = ${postId})`
            return yield* page(channelId, sql`(p.create_at, p.sequence) ${comparison} ${reference}`, order, wanted)
          },
          storing(order === "ASC" ? "PostStore.after" : "PostStore.before"),
        )

      const insert = Effect.fnUntraced(function* (post: Post) {
        const message = yield* encodeMessage(PostSchema, post, MAX_POST_BYTES - GROWTH)
        yield* sql`INSERT INTO posts ${sql.insert({
          id: post.id,
          channel_id: post.channelId,
          user_id: post.userId,
          root_id: post.rootId,
          create_at: post.createAt,
          update_at: post.updateAt,
          delete_at: post.deleteAt,
          message,
        })}`
        const isRoot = post.rootId === ""
        yield* sql`UPDATE channels SET last_post_at = max(last_post_at, ${post.createAt}), total_msg_count = total_msg_count + 1,
          last_root_post_at = max(last_root_post_at, ${isRoot ? post.createAt : 0}),
          total_msg_count_root = total_msg_count_root + ${isRoot ? 1 : 0} WHERE id = ${post.channelId}`
      })

      const place = Effect.fnUntraced(function* ({
        channelId,
        rootId,
        userId,
      }: Post): Effect.fn.Return<Place, SqlError.SqlError> {
        const [found] = yield* sql<{
          readonly users: number
          readonly archived_at: number | null
          readonly channel_id: string | null
          readonly root_id: string | null
        }>`SELECT (SELECT count(*) FROM users WHERE id = ${userId}) AS users,
          (SELECT delete_at FROM channels WHERE id = ${channelId}) AS archived_at, r.channel_id, r.root_id
          FROM (SELECT 1) LEFT JOIN posts r ON r.id = ${rootId} AND r.delete_at = 0`
        const { archived_at, channel_id, root_id, users } = found!
        return {
          hasUser: users > 0,
          archivedAt: archived_at ?? undefined,
          root: channel_id === null ? undefined : { channelId: channel_id, rootId: root_id ?? "" },
        }
      })

      const update = Effect.fnUntraced(function* (post: Post, version: number) {
        const message = yield* encodeMessage(PostSchema, post, MAX_POST_BYTES)
        const saved =
          yield* sql`UPDATE posts SET update_at = ${post.updateAt}, message = ${message}, version = version + 1
          WHERE id = ${post.id} AND delete_at = 0 AND version = ${version} RETURNING id`
        if (saved.length > 0) return true
        yield* find(post.id)
        return false
      })

      const remove = Effect.fnUntraced(function* (id: string) {
        const now = yield* Clock.currentTimeMillis
        const { post } = yield* find(id)
        yield* sql`UPDATE posts SET update_at = ${now}, delete_at = ${now}, version = version + 1
          WHERE (id = ${id} OR (root_id = ${id} AND root_id <> '')) AND delete_at = 0`
        return Object.assign(post, { updateAt: BigInt(now), deleteAt: BigInt(now) } satisfies Partial<Post>)
      })

      return {
        get: (id) =>
          find(id).pipe(
            Effect.map(({ post }) => post),
            storing("PostStore.get"),
          ),
        getVersion: (id) => find(id).pipe(storing("PostStore.getVersion")),
        forChannel: (channelId, wanted) =>
          page(channelId, sql`1`, "DESC", wanted).pipe(storing("PostStore.forChannel")),
        since: (channelId, time) =>
          newest(sql`p.channel_id = ${channelId} AND p.update_at > ${time}`, MAX_POSTS_SINCE).pipe(
            Effect.map((posts) => listOf(posts, false)),
            storing("PostStore.since"),
          ),
        after: beside("ASC"),
        before: beside("DESC"),
        thread: Effect.fnUntraced(function* (postId: string) {
          const { post } = yield* find(postId)
          const rootId = post.rootId === "" ? post.id : post.rootId
          // One that can't be read takes no reply with it.
          const root = yield* Effect.option(find(rootId))
          const replies = yield* newest(sql`p.root_id = ${rootId} AND p.root_id <> '' AND p.delete_at = 0`, pageItems)
          return listOf([...replies, ...Option.toArray(Option.map(root, ({ post }) => post))], false)
        }, storing("PostStore.thread")),
        place: (post) => place(post).pipe(storing("PostStore.place")),
        insert: (post) => insert(post).pipe(storing("PostStore.insert")),
        update: (post, version) => sql.withTransaction(update(post, version)).pipe(storing("PostStore.update")),
        delete: (id) => sql.withTransaction(remove(id)).pipe(storing("PostStore.delete")),
      }
    }),
  )
}

const tooLarge = (limit: number) =>
  new PluginApiError({
    id: "app.post.get_posts.too_large.app_error",
    message: `The posts of a page of ${limit} have more than ${MAX_LIST_BYTES} bytes; ask for smaller pages`,
    statusCode: 413,
  })

const listOf = (posts: ReadonlyArray<Post>, hasNext: boolean): PostList =>
  create(PostListSchema, {
    order: posts.map(({ id }) => id),
    posts: Object.fromEntries(posts.map((post) => [post.id, post])),
    hasNext,
  })

const Row = Schema.Struct({
  message: MessageColumn(PostSchema, MAX_POST_BYTES),
  version: Schema.Int,
  update_at: Schema.Int,
  delete_at: Schema.Int,
  reply_count: Schema.Int,
  last_reply_at: Schema.NullOr(Schema.Int),
})
const rows = rowReader("post", Row)

/** A post with what is kept and counted beside it. */
const postOf = ({ delete_at, last_reply_at, message, reply_count, update_at }: typeof Row.Type): Post =>
  Object.assign(message, {
    updateAt: BigInt(update_at),
    deleteAt: BigInt(delete_at),
    replyCount: BigInt(reply_count),
    lastReplyAt: BigInt(last_reply_at ?? 0),
  } satisfies Partial<Post>)
