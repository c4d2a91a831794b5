import { clone, create } from "@bufbuild/protobuf"
import { Effect } from "effect"
import type { PluginApiError } from "../api/PluginApi.ts"
import { type Post, PostMetadataSchema, PostSchema } from "../generated/mattermost/pluginapi/v1/post_pb.js"
import { invalid } from "./WorkspaceError.ts"

/** The longest message, in characters (Mattermost). */
export const MAX_MESSAGE_LENGTH = 16383

/** What a post must be, whoever made it what it is: something to see, of bounded length. */
export const validatePost = (post: Post): Effect.Effect<void, PluginApiError> => {
  if (!hasContent(post)) {
    return Effect.fail(invalid("api.post.create_post.empty.app_error", "A post needs a message or a file"))
  }
  return exceeds(post.message, MAX_MESSAGE_LENGTH)
    ? Effect.fail(
        invalid("model.post.is_valid.message_length.app_error", `A message has up to ${MAX_MESSAGE_LENGTH} characters`),
      )
    : Effect.void
}

/** Integrations make posts of attachments alone, and posts of their own types that a web app knows how to show. */
const hasContent = (post: Post): boolean => {
  const attachments = post.props?.["attachments"]
  return (
    post.message.trim() !== "" ||
    post.fileIds.length > 0 ||
    (Array.isArray(attachments) && attachments.length > 0) ||
    post.type.startsWith("custom_")
  )
}

const exceeds = (text: string, characters: number): boolean =>
  text.length > characters && Array.from(text).length > characters

/** A post as plugins see it: without metadata, which the host computes (Mattermost, `Post.ForPlugin`). */
export const forPlugin = (post: Post): Post => {
  const copy = clone(PostSchema, post)
  delete copy.metadata
  return copy
}

/**
 * What the plugins made of a post, with all that is not theirs to change as it was: whose post it is, where it is, its
 * times, and its metadata but for the priority.
 */
export const afterPlugins = (original: Post, made: Post): Post => {
  const { channelId, createAt, deleteAt, editAt, id, originalId, rootId, updateAt, userId } = original
  const post = Object.assign(clone(PostSchema, made), {
    channelId,
    createAt,
    deleteAt,
    editAt,
    id,
    originalId,
    rootId,
    updateAt,
    userId,
  } satisfies Partial<Post>)
  const priority = made.metadata?.priority ?? original.metadata?.priority
  delete post.metadata
  if (original.metadata !== undefined || priority !== undefined) {
    post.metadata = clone(PostSchema, original).metadata ?? create(PostMetadataSchema)
    if (priority !== undefined) post.metadata.priority = priority
  }
  return post
}

/** A post as plugins want it to be read, with the metadata that they have not seen. */
export const asRead = (stored: Post, made: Post): Post => {
  const post = { ...made }
  delete post.metadata
  return stored.metadata === undefined ? post : { ...post, metadata: stored.metadata }
}
