import { PluginApiError } from "../api/PluginApi.ts"
import { DISMISS_POST_REASON, type HookRejectedError } from "../hooks/HookDispatcher.ts"

/**
 * A plugin's veto as an error of the API (400), with the plugin's reason. Clients know by its id that a post was
 * dismissed, and then keep silent.
 */
export const rejected = (error: HookRejectedError): PluginApiError =>
  error.isDismissal
    ? new PluginApiError({ id: DISMISS_POST_REASON, message: DISMISS_POST_REASON, statusCode: 400 })
    : new PluginApiError({ id: "api.post.rejected_by_plugin.app_error", message: error.message, statusCode: 400 })
