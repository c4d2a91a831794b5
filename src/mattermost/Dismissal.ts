import type { HookRejectedError } from "../hooks/HookRejectedError.ts"

/** The reason with which a plugin drops a new post without telling the user (Mattermost's constant). */
export const DISMISS_POST_REASON = "plugin.message_will_be_posted.dismiss_post"

/** Whether a refused post is to be dropped silently. */
export const isDismissal = ({ hook, reason }: HookRejectedError): boolean =>
  hook === "MessageWillBePosted" && reason === DISMISS_POST_REASON
