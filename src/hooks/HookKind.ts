import { toJson } from "@bufbuild/protobuf"
import { EmailNotificationContentSchema } from "../generated/mattermost/pluginapi/v1/hooks_message_pb.js"
import type { Post } from "../generated/mattermost/pluginapi/v1/post_pb.js"
import type { Request, Response } from "../rpc/RpcMethod.ts"
import { type HookMethods, hookMethods, type UnaryHook, unaryHooks } from "./HookName.ts"

/** A message's own fields. */
type Fields<M> = Exclude<keyof M, "$typeName" | "$unknown">

/**
 * Hooks that only tell: a plugin answers nothing but that it has taken the event. They are those whose response has no
 * fields, and `onConfigurationChange`, whose failure is logged; but not `onPluginClusterEvent`, which is for one plugin.
 */
export type Notification =
  | Exclude<
      { [K in UnaryHook]: [Fields<Response<HookMethods[K]>>] extends [never] ? K : never }[UnaryHook],
      "onPluginClusterEvent"
    >
  | "onConfigurationChange"

/** {@link Notification}s at run time. */
export const notifications: ReadonlySet<UnaryHook> = new Set(
  unaryHooks.filter((hook) =>
    hookMethods[hook].output.fields.length === 0 ? hook !== "onPluginClusterEvent" : hook === "onConfigurationChange",
  ),
)

/** What becomes of a request that a plugin has answered: what the next plugin is asked about. */
type Apply<K extends UnaryHook> = (
  request: Request<HookMethods[K]>,
  response: Response<HookMethods[K]>,
) => Partial<Request<HookMethods[K]>>

/** A post as a plugin wants it. What it leaves out of what tells which post that is, the next plugin still has to see. */
const identified = (modified: Post | undefined, post: Post | undefined): Post | undefined =>
  modified === undefined || post === undefined
    ? (modified ?? post)
    : {
        ...modified,
        id: modified.id || post.id,
        channelId: modified.channelId || post.channelId,
        userId: modified.userId || post.userId,
        createAt: modified.createAt || post.createAt,
      }

const decoder = new TextDecoder()
const encoder = new TextEncoder()

/**
 * Hooks that decide: plugins are asked one after the other, each about what the one before it made of the matter, and
 * the first refusal ends it (Mattermost's `RunMultiPluginHook`). A response that leaves a field empty leaves the matter
 * as it is.
 */
export const deciding = {
  messageWillBePosted: ({ post }, { modifiedPost }) => ({ post: identified(modifiedPost, post) }),
  messageWillBeUpdated: ({ newPost }, { modifiedPost }) => ({ newPost: identified(modifiedPost, newPost) }),
  fileWillBeUploaded: (request, { modifiedContent, modifiedFileInfo }) => {
    const info = modifiedFileInfo ?? request.fileInfo
    const fileContent = modifiedContent.length > 0 ? modifiedContent : request.fileContent
    // A plugin that changes the content need not count it.
    return { fileContent, ...(info !== undefined && { fileInfo: { ...info, size: BigInt(fileContent.length) } }) }
  },
  // The posts of a response that is about to be read; a plugin may rewrite them, not add any or refuse.
  messagesWillBeConsumed: ({ posts }, response) => {
    const rewritten = new Map(response.posts.map((post) => [post.id, post]))
    return { posts: posts.map((post) => rewritten.get(post.id) ?? post) }
  },
  notificationWillBePushed: ({ pushNotification }, { modifiedNotification }) => ({
    pushNotification: modifiedNotification ?? pushNotification,
  }),
  // The notification is JSON with more in it than a plugin may change; what it changed takes its place in there.
  emailNotificationWillBeSent: ({ emailNotification }, { modifiedContent }) => {
    if (emailNotification === undefined || modifiedContent === undefined) return {}
    const changed = toJson(EmailNotificationContentSchema, modifiedContent, { useProtoFieldName: true })
    const before: unknown = JSON.parse(decoder.decode(emailNotification.notificationJson))
    const after = { ...(before as object), ...(changed as object) }
    return { emailNotification: { ...emailNotification, notificationJson: encoder.encode(JSON.stringify(after)) } }
  },
  configurationWillBeSaved: ({ newConfig }, { modifiedConfig }) => ({ newConfig: modifiedConfig ?? newConfig }),
  userWillLogIn: () => ({}),
  // Its answer is an error, or none.
  onSAMLLogin: () => ({}),
} satisfies { readonly [K in UnaryHook]?: Apply<K> }

/** A hook that decides. */
export type DecidingHook = keyof typeof deciding
