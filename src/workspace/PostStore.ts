import { create } from "@bufbuild/protobuf"
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { SqlClient, type SqlError, type Statement } from "effect/sql"
import type { PluginApiError } from "../api/PluginApi.ts"
import { type Post, type PostList, PostListSchema, PostSchema } from "../generated/mattermost/pluginapi/v1/post_pb.js"
import { MessageColumn } from "./MessageColumn.ts"
import { limitOf, type Page } from "./Paging.ts"
import { notFound, storing } from "./WorkspaceError.ts"

/** The most posts that a list by time has (Mattermost). */
const MAX_POSTS_SINCE = 1000

/** The posts. Lists are newest first and leave deleted posts out, unless they say otherwise. */
export class PostStore extends Context.Service<
  PostStore,
  {
    /** A post that is not deleted. */
    readonly get: (id: string) => Effect.Effect<Post, PluginApiError>
    readonly forChannel: (channelId: string, page: Page) => Effect.Effect<PostList, PluginApiError>
    /** Posts made, changed or deleted after a time in milliseconds; the deleted ones are there, with `deleteAt`. */
    readonly since: (channelId: string, time: number) => Effect.Effect<PostList, PluginApiError>
    /** Posts newer than a post; page 0 is the one next to it. */
    readonly after: (channelId: string, postId: string, page: Page) => Effect.Effect<PostList, PluginApiError>
    /** Posts older than a post; page 0 is the one next to it. */
    readonly before: (channelId: string, postId: string, page: Page) => Effect.Effect<PostList, PluginApiError>
    /** The root and the replies of the thread that a post belongs to. */
    readonly thread: (postId: string) => Effect.Effect<PostList, PluginApiError>
    /** Stores a new post and counts it in its channel. */
    readonly insert: (post: Post) => Effect.Effect<void, PluginApiError>
    /** Stores a post anew, unless it has been deleted meanwhile (404). */
    readonly update: (post: Post) => Effect.Effect<void, PluginApiError>
    /** Marks a post, and the replies to it, as deleted; answers the post as it is then. */
    readonly delete: (id: string) => Effect.Effect<Post, PluginApiError>
  }
>()("effect-plugin-supervisor/workspace/PostStore") {
  static readonly layer: Layer.Layer<PostStore, never, SqlClient.SqlClient> = Layer.effect(
    PostStore,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient

      const columns = sql.literal(
        `p.message,
        (SELECT count(*) FROM posts r WHERE r.root_id = p.id AND r.root_id <> '' AND r.delete_at = 0) AS reply_count,
        (SELECT max(r.create_at) FROM posts r WHERE r.root_id = p.id AND r.root_id <> '' AND r.delete_at = 0) AS last_reply_at`,
      )

      const read = (statement: Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>) =>
        Effect.map(Effect.flatMap(statement, decode), (rows) =>
          rows.map(({ last_reply_at, message, reply_count }) =>
            Object.assign(message, {
              replyCount: BigInt(reply_count),
              lastReplyAt: BigInt(last_reply_at ?? 0),
            } satisfies Partial<Post>),
          ),
        )

      const find = Effect.fnUntraced(function* (id: string, where = sql`p.delete_at = 0`) {
        const posts = yield* read(sql`SELECT ${columns} FROM posts p WHERE p.id = ${id} AND ${where}`)
        return posts[0] ?? (yield* notFound("app.post.get.app_error", `post ${id}`))
      })

      /** A page of a channel's posts; one more is read, to know whether there are more. */
      const page = Effect.fnUntraced(function* (
        channelId: string,
        where: Statement.Fragment,
        order: "ASC" | "DESC",
        wanted: Page,
      ) {
        const { limit, offset } = limitOf(wanted)
        const direction = sql.literal(order)
        const posts = yield* read(
          sql`SELECT ${columns} FROM posts p WHERE p.channel_id = ${channelId} AND p.delete_at = 0 AND ${where}
            ORDER BY p.create_at ${direction}, p.sequence ${direction} LIMIT ${limit + 1} OFFSET ${offset}`,
        )
        const shown = posts.slice(0, limit)
        return listOf(order === "ASC" ? shown.toReversed() : shown, posts.length > limit)
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
        const { message } = yield* encode(post)
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
        yield* sql`UPDATE channels SET last_post_at = max(last_post_at, ${post.createAt}), total_msg_count = total_msg_count + 1
          WHERE id = ${post.channelId}`
        if (post.rootId === "") {
          yield* sql`UPDATE channels SET last_root_post_at = max(last_root_post_at, ${post.createAt}),
            total_msg_count_root = total_msg_count_root + 1 WHERE id = ${post.channelId}`
        }
      })

      const save = Effect.fnUntraced(function* (post: Post) {
        const { message } = yield* encode(post)
        const saved =
          yield* sql`UPDATE posts SET update_at = ${post.updateAt}, delete_at = ${post.deleteAt}, message = ${message}
          WHERE id = ${post.id} AND delete_at = 0 RETURNING id`
        if (saved.length === 0) yield* notFound("app.post.get.app_error", `post ${post.id}`)
      })

      const remove = Effect.fnUntraced(function* (id: string) {
        const now = BigInt(yield* Clock.currentTimeMillis)
        const post = yield* find(id)
        const replies = yield* read(
          sql`SELECT ${columns} FROM posts p WHERE p.root_id = ${id} AND p.root_id <> '' AND p.delete_at = 0`,
        )
        yield* Effect.forEach(
          [post, ...replies],
          (deleted) => save(Object.assign(deleted, { updateAt: now, deleteAt: now } satisfies Partial<Post>)),
          { discard: true },
        )
        return post
      })

      return {
        get: (id) => find(id).pipe(storing("PostStore.get")),
        forChannel: (channelId, wanted) =>
          page(channelId, sql`1`, "DESC", wanted).pipe(storing("PostStore.forChannel")),
        since: (channelId, time) =>
          read(
            sql`SELECT ${columns} FROM posts p WHERE p.channel_id = ${channelId} AND p.update_at > ${time}
              ORDER BY p.create_at DESC, p.sequence DESC LIMIT ${MAX_POSTS_SINCE}`,
          ).pipe(
            Effect.map((posts) => listOf(posts, false)),
            storing("PostStore.since"),
          ),
        after: beside("ASC"),
        before: beside("DESC"),
        thread: Effect.fnUntraced(function* (postId: string) {
          const post = yield* find(postId)
          const rootId = post.rootId === "" ? post.id : post.rootId
          const posts = yield* read(
            sql`SELECT ${columns} FROM posts p WHERE (p.id = ${rootId} OR p.root_id = ${rootId}) AND p.delete_at = 0
              ORDER BY p.create_at DESC, p.sequence DESC`,
          )
          return listOf(posts, false)
        }, storing("PostStore.thread")),
        insert: (post) => sql.withTransaction(insert(post)).pipe(storing("PostStore.insert")),
        update: (post) => save(post).pipe(storing("PostStore.update")),
        delete: (id) => sql.withTransaction(remove(id)).pipe(storing("PostStore.delete")),
      }
    }),
  )
}

const listOf = (posts: ReadonlyArray<Post>, hasNext: boolean): PostList =>
  create(PostListSchema, {
    order: posts.map(({ id }) => id),
    posts: Object.fromEntries(posts.map((post) => [post.id, post])),
    hasNext,
  })

const Row = Schema.Struct({
  message: MessageColumn(PostSchema),
  reply_count: Schema.Int,
  last_reply_at: Schema.NullOr(Schema.Int),
})
const decode = Schema.decodeUnknownEffect(Schema.Array(Row))
const encodeMessage = Schema.encodeEffect(Schema.Struct({ message: Row.fields.message }))
const encode = (message: Post) => encodeMessage({ message })
