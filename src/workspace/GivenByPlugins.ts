import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { CommandSchema, type Command } from "../generated/mattermost/pluginapi/v1/api_command_pb.js"
import type { Channel, ChannelSchema } from "../generated/mattermost/pluginapi/v1/channel_pb.js"
import { type Post, PostMetadataSchema } from "../generated/mattermost/pluginapi/v1/post_pb.js"
import type { User, UserSchema } from "../generated/mattermost/pluginapi/v1/user_pb.js"
import type { NewPost } from "./PostWriter.ts"
import { FROM_PLUGIN } from "./PostRules.ts"

/**
 * What the workspace takes of the things that plugins want made. The rest of their fields says what only the host can
 * know, or may give: ids, times and counts, roles, that somebody is a bot or has proven who they are. It is ignored,
 * as in Mattermost, and so is what this version of the contract does not know.
 */

/** A user has the roles of everybody. */
export const userOf = ({
  allowMarketing,
  disableWelcomeEmail,
  email,
  emailVerified,
  firstName,
  lastName,
  locale,
  nickname,
  notifyProps,
  position,
  props,
  timezone,
  username,
}: User): MessageInitShape<typeof UserSchema> => ({
  allowMarketing,
  disableWelcomeEmail,
  email,
  emailVerified,
  firstName,
  lastName,
  locale,
  nickname,
  notifyProps,
  position,
  props,
  timezone,
  username,
})

export const channelOf = ({
  bannerInfo,
  creatorId,
  displayName,
  header,
  name,
  props,
  purpose,
  teamId,
  type,
}: Channel): MessageInitShape<typeof ChannelSchema> => ({
  creatorId,
  displayName,
  header,
  name,
  purpose,
  teamId,
  type,
  ...(bannerInfo !== undefined && { bannerInfo }),
  ...(props !== undefined && { props }),
})

/** A command is the plugin's; the fields of those that call a URL are left out. */
export const commandOf = (
  pluginId: string,
  { autoComplete, autoCompleteDesc, autoCompleteHint, description, displayName, teamId, trigger }: Command,
): Command =>
  create(CommandSchema, {
    autoComplete,
    autoCompleteDesc,
    autoCompleteHint,
    description,
    displayName,
    pluginId,
    teamId,
    trigger: trigger.toLowerCase(),
  })

/**
 * A post is marked as a plugin's: plugins tell each other's posts, and their own, from those of people by this
 * (Mattermost).
 */
export const postOf = ({ isFollowing: _isFollowing, metadata, remoteId: _remoteId, ...post }: Post): NewPost => ({
  ...post,
  props: { ...post.props, [FROM_PLUGIN]: "true" },
  hasReactions: false,
  participants: [],
  // Of the metadata the host computes all but this.
  ...(metadata?.priority !== undefined && {
    metadata: create(PostMetadataSchema, { priority: metadata.priority }),
  }),
})
