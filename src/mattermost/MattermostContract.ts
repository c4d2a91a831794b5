import { type DescMethod, toJson } from "@bufbuild/protobuf"
import * as Contract from "../contract/Contract.ts"
import type { BusinessErrors } from "../contract/BusinessErrors.ts"
import type { AppError } from "../generated/mattermost/pluginapi/v1/common_pb.js"
import { EmailNotificationContentSchema } from "../generated/mattermost/pluginapi/v1/hooks_message_pb.js"
import { PluginAPI } from "../generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import { PluginHooks } from "../generated/mattermost/pluginapi/v1/plugin_hooks_pb.js"
import type { Post } from "../generated/mattermost/pluginapi/v1/post_pb.js"

type Hooks = typeof PluginHooks
type Api = typeof PluginAPI

// With names of their own the types are not written out, all of their methods, wherever they are used.

/** The hooks of Mattermost's plugins, as generated code describes them. */
export interface MattermostHooks extends Hooks {}

/** The host API of Mattermost's plugins, as generated code describes it. */
export interface MattermostApi extends Api {}

/** A post as a plugin wants it. What it leaves out of what tells which post that is, the next plugin still has to see. */
const identified = (modified: Post | undefined, post: Post | undefined): Post | undefined => {
  if (modified === undefined || post === undefined) return modified ?? post
  const { channelId, createAt, id, userId } = modified
  // A copy of a post takes as long as to decode it.
  if (id !== "" && channelId !== "" && userId !== "" && createAt !== 0n) return modified
  return {
    ...modified,
    id: id || post.id,
    channelId: channelId || post.channelId,
    userId: userId || post.userId,
    createAt: createAt || post.createAt,
  }
}

const decoder = new TextDecoder()
const encoder = new TextEncoder()

/** An error travels in the response's `error`, an AppError; one without an id is none (contract, "Errors"). */
const errors: BusinessErrors = {
  ofHook: (response) => {
    const { error } = response as { readonly error?: AppError }
    return error === undefined || error.id === "" ? undefined : error
  },
  // The published SDK's ids: a handler that has raised is no answer.
  isRefusal: ({ id }) => !id.endsWith(".error"),
  ofApi: (method: DescMethod, { detailedError = "", id, message, statusCode, where = method.name }) =>
    method.output.fields.some((field) => field.localName === "error")
      ? { error: { id, message, statusCode, where, detailedError } }
      : undefined,
}

const hooks: MattermostHooks = PluginHooks
const api: MattermostApi = PluginAPI

const contract = Contract.make({
  hooks,
  api,
  handshake: { magicCookieKey: "MATTERMOST_PLUGIN", magicCookieValue: "Securely message teams, anywhere." },
  lifecycle: {
    implemented: "implemented",
    onActivate: "onActivate",
    onConfigurationChange: "onConfigurationChange",
    onDeactivate: "onDeactivate",
    serveHTTP: "serveHTTP",
  },
  hostServices: false,
  // Clients read them over REST, and the workspace keeps them so.
  json: true,
  userHeader: "Mattermost-User-Id",
  errors,
  // A failure of the first is logged, and the second is for one plugin.
  notifying: ["onConfigurationChange"],
  single: ["onPluginClusterEvent"],
  // Mattermost's `RunMultiPluginHook`. The subjects are its words.
  deciding: {
    messageWillBePosted: {
      refusal: "rejectionReason",
      subject: "Post",
      apply: ({ post }, { modifiedPost }) => ({ post: identified(modifiedPost, post) }),
    },
    messageWillBeUpdated: {
      refusal: "rejectionReason",
      subject: "Post",
      apply: ({ newPost }, { modifiedPost }) => ({ newPost: identified(modifiedPost, newPost) }),
    },
    fileWillBeUploaded: {
      refusal: "rejectionReason",
      subject: "File",
      apply: (request, { modifiedContent, modifiedFileInfo }) => {
        const info = modifiedFileInfo ?? request.fileInfo
        const fileContent = modifiedContent.length > 0 ? modifiedContent : request.fileContent
        // A plugin that changes the content need not count it.
        return { fileContent, ...(info !== undefined && { fileInfo: { ...info, size: BigInt(fileContent.length) } }) }
      },
    },
    // The posts of a response that is about to be read; a plugin may rewrite them, not add any or refuse.
    messagesWillBeConsumed: {
      refusal: false,
      subject: "Reading",
      apply: ({ posts }, response) => {
        const rewritten = new Map(response.posts.map((post) => [post.id, post]))
        return { posts: posts.map((post) => rewritten.get(post.id) ?? post) }
      },
    },
    notificationWillBePushed: {
      refusal: "rejectionReason",
      replaces: { pushNotification: "modifiedNotification" },
    },
    // The notification is JSON with more in it than a plugin may change; what it changed takes its place in there.
    emailNotificationWillBeSent: {
      refusal: "rejectionReason",
      apply: ({ emailNotification }, { modifiedContent }) => {
        if (emailNotification === undefined || modifiedContent === undefined) return {}
        const changed = toJson(EmailNotificationContentSchema, modifiedContent, { useProtoFieldName: true })
        const before: unknown = JSON.parse(decoder.decode(emailNotification.notificationJson))
        const after = { ...(before as object), ...(changed as object) }
        return {
          emailNotification: { ...emailNotification, notificationJson: encoder.encode(JSON.stringify(after)) },
        }
      },
    },
    // Nobody has checked the settings: its failure refuses unless an operator says otherwise, as in Mattermost. It refuses by
    // its error, and so does the login by SAML.
    configurationWillBeSaved: {
      refusal: false,
      subject: "Configuration",
      onFailure: "refuse",
      replaces: { newConfig: "modifiedConfig" },
    },
    userWillLogIn: { refusal: "rejectionReason", subject: "Login" },
    onSAMLLogin: { refusal: false },
  },
  variables: ({ apiTarget, bundlePath, hookTimeoutSeconds, logLevel, pluginId }) => ({
    MATTERMOST_PLUGIN_ID: pluginId,
    MATTERMOST_PLUGIN_PATH: bundlePath,
    MATTERMOST_PLUGIN_API_TARGET: apiTarget,
    // Mattermost's own documentation names it so.
    MATTERMOST_API_TARGET: apiTarget,
    MATTERMOST_PLUGIN_LOG_LEVEL: logLevel,
    MATTERMOST_PLUGIN_HOOK_TIMEOUT: String(hookTimeoutSeconds),
  }),
})

type Made = typeof contract

/** The contract of Mattermost's plugins. */
export interface MattermostContract extends Made {}
export const MattermostContract: MattermostContract = contract
