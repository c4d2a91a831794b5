import { create, type JsonObject } from "@bufbuild/protobuf"
import { Effect } from "effect"
import type { PluginApiError } from "../api/PluginApi.ts"
import { type Post, PostMetadataSchema } from "../generated/mattermost/pluginapi/v1/post_pb.js"
import { invalid } from "./WorkspaceError.ts"
import { MAX_TIME } from "./WorkspaceLimits.ts"

/** The longest message, in characters (Mattermost). */
export const MAX_MESSAGE_LENGTH = 16383

/** The longest list of files as JSON, and the longest list of hashtags, in characters (Mattermost): ten files. */
const MAX_FILES_LENGTH = 300
const MAX_HASHTAGS_LENGTH = 1000

/**
 * What a post must be, whoever made it what it is: something to see, of bounded length, at a time that a calendar
 * has.
 */
export const validatePost = (post: Post, maxProps: number): Effect.Effect<void, PluginApiError> => {
  const broken = RULES.find(([, holds]) => !holds(post, maxProps))
  return broken === undefined ? Effect.void : Effect.fail(invalid(broken[0], broken[2](maxProps)))
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

/** Mattermost's rules for a post, but for the last: there a time may be any number. */
const RULES: ReadonlyArray<
  readonly [id: string, holds: (post: Post, maxProps: number) => boolean, rule: (maxProps: number) => string]
> = [
  ["api.post.create_post.empty.app_error", hasContent, () => "A post needs a message or a file"],
  [
    "model.post.is_valid.message_length.app_error",
    ({ message }) => !exceeds(message, MAX_MESSAGE_LENGTH),
    () => `A message has up to ${MAX_MESSAGE_LENGTH} characters`,
  ],
  [
    "model.post.is_valid.props.app_error",
    ({ props }, maxProps) => props === undefined || JSON.stringify(props).length <= maxProps,
    (maxProps) => `The props of a post have up to ${maxProps} characters as JSON`,
  ],
  [
    "model.post.is_valid.file_ids.app_error",
    ({ fileIds }) => JSON.stringify(fileIds).length <= MAX_FILES_LENGTH,
    () => `The file_ids of a post have up to ${MAX_FILES_LENGTH} characters as JSON, which are ten`,
  ],
  [
    "model.post.is_valid.hashtags.app_error",
    ({ hashtags }) => !exceeds(hashtags, MAX_HASHTAGS_LENGTH),
    () => `The hashtags of a post have up to ${MAX_HASHTAGS_LENGTH} characters`,
  ],
  [
    "model.post.is_valid.create_at.app_error",
    ({ createAt }) => createAt <= MAX_TIME,
    () => "The create_at of a post is in milliseconds since 1970, up to the year 9999",
  ],
]

/** Marks the posts of plugins (Mattermost); who reads it has to be able to rely on it. */
export const FROM_PLUGIN = "from_plugin"

/** New props of a post, which is a plugin's afterwards if it was one before. */
export const ofPlugin = (old: Post, props: JsonObject): JsonObject => {
  const { [FROM_PLUGIN]: _claimed, ...rest } = props
  const mark = old.props?.[FROM_PLUGIN]
  return mark === undefined ? rest : { ...rest, [FROM_PLUGIN]: mark }
}

/** A post as plugins see it: without metadata, which the host computes (Mattermost, `Post.ForPlugin`). */
export const forPlugin = (post: Post): Post => {
  const { metadata: _metadata, ...copy } = post
  return copy
}

/**
 * What the plugins made of a post, with all that is not theirs to change as it was: whose post it is, where it is, its
 * times, and its metadata but for the priority.
 */
export const afterPlugins = (original: Post, made: Post): Post => {
  const { channelId, createAt, deleteAt, editAt, id, originalId, rootId, updateAt, userId } = original
  const { metadata, ...rest } = made
  const post = { ...rest, channelId, createAt, deleteAt, editAt, id, originalId, rootId, updateAt, userId }
  const priority = metadata?.priority ?? original.metadata?.priority
  if (priority !== undefined) {
    return { ...post, metadata: { ...(original.metadata ?? create(PostMetadataSchema)), priority } }
  }
  return original.metadata === undefined ? post : { ...post, metadata: original.metadata }
}

/** A post as plugins want it to be read, with the metadata that they have not seen. */
export const asRead = (stored: Post, made: Post): Post => {
  const post = { ...made }
  delete post.metadata
  return stored.metadata === undefined ? post : { ...post, metadata: stored.metadata }
}
