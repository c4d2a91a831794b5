import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { Clock, Effect, Option } from "effect"
import { SqlClient } from "effect/sql"
import { type Post, PostSchema } from "../generated/mattermost/pluginapi/v1/post_pb.js"
import { MattermostPlugins, type RequestContext } from "../mattermost/MattermostPlugins.ts"
import { ChannelStore } from "./ChannelStore.ts"
import { newId } from "./Id.ts"
import { checkMessage } from "./MessageColumn.ts"
import { afterPlugins, forPlugin, ofPlugin, validatePost } from "./PostRules.ts"
import { PostStore } from "./PostStore.ts"
import { undisturbed } from "./Undisturbed.ts"
import { UserStore } from "./UserStore.ts"
import { invalid, storing } from "./WorkspaceError.ts"
import { MAX_POST_BYTES, WorkspaceLimits } from "./WorkspaceLimits.ts"

/** A post to be made; `channelId` and `userId` are needed, ids and times are set by the workspace. */
export type NewPost = MessageInitShape<typeof PostSchema>

/** The fields of a post that an update may change; those left out stay as they are. */
export type PostChange = Pick<NewPost, "message" | "props" | "fileIds" | "isPinned" | "hasReactions"> & {
  readonly id: string
}

/**
 * Makes, changes and deletes posts: the plugins are asked before and told after. What they agreed to is stored, where
 * that is still possible then, and nothing else.
 */
export const postWriter = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const plugins = yield* MattermostPlugins
  const channels = yield* ChannelStore
  const posts = yield* PostStore
  const users = yield* UserStore
  const { postProps } = yield* WorkspaceLimits

  /** Whose the post is and where it goes: a user, a channel and a post to reply to that there are. */
  const checkPlace = Effect.fnUntraced(function* (post: Post) {
    const { archivedAt, hasUser, root } = yield* posts.place(post)
    // Who says that there is none knows how.
    if (!hasUser) yield* users.get(post.userId)
    if (archivedAt === undefined) yield* channels.get(post.channelId)
    if (archivedAt !== 0) {
      yield* invalid("api.post.create_post.can_not_post_to_deleted.error", "The channel has been archived")
    }
    if (post.rootId === "") return
    if (root === undefined) {
      return yield* invalid("api.post.create_post.root_id.app_error", `There is no post ${post.rootId} to reply to`)
    }
    if (root.channelId !== post.channelId) {
      yield* invalid("api.post.create_post.channel_root_id.app_error", "The post replied to is in another channel")
    }
    if (root.rootId !== "") {
      yield* invalid("api.post.create_post.root_id.app_error", "The post replied to is a reply; reply to its root")
    }
  })

  const check = (post: Post) => checkMessage(PostSchema, post, MAX_POST_BYTES)

  const createPost = Effect.fn("Workspace.createPost")(function* (init: NewPost, pluginContext: RequestContext = {}) {
    const now = BigInt(yield* Clock.currentTimeMillis)
    const given = create(PostSchema, init)
    yield* check(given)
    const post: Post = {
      ...given,
      id: yield* newId,
      createAt: given.createAt > 0n ? given.createAt : now,
      updateAt: now,
      editAt: 0n,
      deleteAt: 0n,
      originalId: "",
      replyCount: 0n,
      lastReplyAt: 0n,
    }
    yield* validatePost(post, postProps)
    yield* checkPlace(post)
    const decided = yield* plugins.decide("messageWillBePosted", { pluginContext, post: forPlugin(post) })
    yield* check(decided.post)
    const stored = afterPlugins(post, decided.post)
    yield* validatePost(stored, postProps)
    // The post replied to may have been deleted while the plugins were asked.
    const insert = Effect.andThen(checkPlace(stored), posts.insert(stored))
    // A caller that goes away leaves the post either not made, or made and told of.
    yield* sql
      .withTransaction(insert)
      .pipe(
        storing("Workspace.createPost"),
        Effect.andThen(plugins.notify("messageHasBeenPosted", { pluginContext, post: forPlugin(stored) })),
        Effect.uninterruptible,
      )
    return stored
  })

  const tryUpdatePost = Effect.fnUntraced(function* ({ id, ...change }: PostChange, pluginContext: RequestContext) {
    const { post: old, version } = yield* posts.getVersion(id)
    const now = BigInt(yield* Clock.currentTimeMillis)
    const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined))
    const post: Post = { ...old, ...given, updateAt: now }
    if (change.props !== undefined) post.props = ofPlugin(old, change.props)
    if (post.message !== old.message) post.editAt = now
    yield* check(post)
    yield* validatePost(post, postProps)
    const decided = yield* plugins.decide("messageWillBeUpdated", {
      pluginContext,
      newPost: forPlugin(post),
      oldPost: forPlugin(old),
    })
    yield* check(decided.newPost)
    const stored = afterPlugins(post, decided.newPost)
    yield* validatePost(stored, postProps)
    return yield* posts.update(stored, version).pipe(
      Effect.tap((isStored) =>
        isStored
          ? plugins.notify("messageHasBeenUpdated", {
              pluginContext,
              newPost: forPlugin(stored),
              oldPost: forPlugin(old),
            })
          : Effect.void,
      ),
      Effect.map((isStored) => (isStored ? Option.some(stored) : Option.none())),
      Effect.uninterruptible,
    )
  })

  const updatePost = Effect.fn("Workspace.updatePost")((change: PostChange, pluginContext: RequestContext = {}) =>
    undisturbed("post", tryUpdatePost(change, pluginContext)),
  )

  const deletePost = Effect.fn("Workspace.deletePost")(function* (postId: string, pluginContext: RequestContext = {}) {
    const post = yield* posts.delete(postId)
    yield* plugins.notify("messageHasBeenDeleted", { pluginContext, post: forPlugin(post) })
  }, Effect.uninterruptible)

  return { createPost, updatePost, deletePost }
})
