import { PluginApiError } from "../api/PluginApi.ts"
import type { HookRejectedError } from "../hooks/HookRejectedError.ts"
import { DISMISS_POST_REASON, isDismissal } from "../mattermost/Dismissal.ts"

/** Mattermost's ids of vetoes by hook; the others are about posts. */
const VETOES: { readonly [hook: string]: string } = {
  ConfigurationWillBeSaved: "app.save_config.plugin_hook_error",
}

/**
 * A plugin's veto as an error of the API (400), with the plugin's reason. Clients know by its id that a post was
 * dismissed, and then keep silent. That a plugin which has to agree could not be asked is no veto: it may agree later (503,
 * as where Mattermost's channel guards fail).
 */
export const rejected = (error: HookRejectedError): PluginApiError => {
  if (isDismissal(error)) {
    return new PluginApiError({ id: DISMISS_POST_REASON, message: DISMISS_POST_REASON, statusCode: 400 })
  }
  return error.isFailure
    ? new PluginApiError({ id: "app.plugin.guard_hook_failed", message: error.message, statusCode: 503 })
    : new PluginApiError({
        id: VETOES[error.hook] ?? "api.post.rejected_by_plugin.app_error",
        message: error.message,
        statusCode: 400,
      })
}
