import { Effect } from "effect"
import type { PluginApiError } from "../api/PluginApi.ts"
import type { Post, PostList } from "../generated/mattermost/pluginapi/v1/post_pb.js"
import type { HookDispatcher } from "../hooks/HookDispatcher.ts"
import { rejected } from "./HookRejection.ts"
import { asRead, forPlugin } from "./PostRules.ts"
import type { PostStore } from "./PostStore.ts"

/** Where posts are read. */
export type PostReader = Omit<PostStore["Service"], "insert" | "update" | "delete">

/**
 * Reads posts from a store as the plugins let them be read: they are asked about all posts of an answer at once
 * (`MessagesWillBeConsumed`), and what is stored stays as it is.
 */
export const postReader = (store: PostReader, dispatcher: HookDispatcher["Service"]): PostReader => {
  const consumed = Effect.fn("PostReader.consumed")(function* (stored: ReadonlyArray<Post>) {
    if (stored.length === 0) return []
    // No plugin can refuse here; its operator can, for when it fails.
    const { posts } = yield* Effect.mapError(
      dispatcher.decide("messagesWillBeConsumed", { posts: stored.map(forPlugin) }),
      rejected,
    )
    return stored.map((post, index) => asRead(post, posts[index]!))
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
