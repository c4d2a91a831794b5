import { Effect } from "effect"
import type { PluginApiError } from "../api/PluginApi.ts"
import { type Post, type PostList, PostSchema } from "../generated/mattermost/pluginapi/v1/post_pb.js"
import type { MattermostPlugins } from "../mattermost/MattermostPlugins.ts"
import { approximateBytes } from "../rpc/MessageCheck.ts"
import { rejected } from "./HookRejection.ts"
import { asRead, forPlugin } from "./PostRules.ts"
import type { PostStore } from "./PostStore.ts"
import { MAX_CONSUMED_BYTES } from "./WorkspaceLimits.ts"

/** Where posts are read. */
export type PostReader = Omit<PostStore["Service"], "getVersion" | "place" | "insert" | "update" | "delete">

/** The posts in their order, in parts of up to {@link MAX_CONSUMED_BYTES}. */
const batches = (posts: ReadonlyArray<Post>): ReadonlyArray<ReadonlyArray<Post>> => {
  const made: Array<Array<Post>> = []
  let room = 0
  for (const post of posts) {
    const size = approximateBytes(PostSchema, post)
    if (size > room || made.length === 0) {
      made.push([])
      room = MAX_CONSUMED_BYTES
    }
    made.at(-1)!.push(post)
    room -= size
  }
  return made
}

/**
 * Reads posts from a store as the plugins let them be read (`MessagesWillBeConsumed`); what is stored stays as it is.
 * They are asked about all posts of an answer at once, or one time after the other if that is more than a call takes.
 */
export const postReader = (store: PostReader, plugins: MattermostPlugins["Service"]): PostReader => {
  const consumed = Effect.fn("PostReader.consumed")(function* (stored: ReadonlyArray<Post>) {
    const read: Array<Post> = []
    for (const batch of batches(stored)) {
      // No plugin can refuse here; its operator can, for when it fails.
      const { posts } = yield* Effect.mapError(
        plugins.decide("messagesWillBeConsumed", { posts: batch.map(forPlugin) }),
        rejected,
      )
      read.push(...batch.map((post, index) => asRead(post, posts[index]!)))
    }
    return read
  })

  const list =
    <Args extends ReadonlyArray<unknown>>(read: (...args: Args) => Effect.Effect<PostList, PluginApiError>) =>
    (...args: Args): Effect.Effect<PostList, PluginApiError> =>
      Effect.flatMap(read(...args), (found) =>
        Effect.map(consumed(found.order.map((id) => found.posts[id]!)), (posts) => ({
          ...found,
          posts: Object.fromEntries(posts.map((post) => [post.id, post])),
        })),
      )

  return {
    get: (id) => Effect.flatMap(store.get(id), (post) => Effect.map(consumed([post]), ([read]) => read!)),
    forChannel: list(store.forChannel),
    since: list(store.since),
    after: list(store.after),
    before: list(store.before),
    thread: list(store.thread),
  }
}
