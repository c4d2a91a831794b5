import { PluginApiError } from "../api/PluginApi.ts"
import type { BundleRefusedError } from "../bundle/BundleRefusedError.ts"
import type {
  EnableError,
  InstallError,
  RemoveError,
  RestartError,
  SettingsError,
} from "../environment/EnvironmentError.ts"

/** What commands on plugins may fail with. */
export type AdminError = EnableError | InstallError | RemoveError | RestartError | SettingsError

/** The status and the id of an error, by its tag; those that are not here keep a plugin from starting. */
const KNOWN: { readonly [T in AdminError["_tag"]]?: readonly [statusCode: number, id: string] } = {
  UnknownPluginError: [404, "app.plugin.not_installed.app_error"],
  AlreadyInstalledError: [400, "app.plugin.install_id.app_error"],
  DowngradeError: [409, "app.plugin.downgrade.app_error"],
  KeptByHandError: [409, "app.plugin.kept_by_hand.app_error"],
  DisabledError: [409, "app.plugin.disabled.app_error"],
  PluginStoppedError: [409, "app.plugin.stopped.app_error"],
  NotStoredError: [501, "app.plugin.not_stored.app_error"],
  InvalidSettingsError: [400, "app.plugin.settings.app_error"],
  BadSettingsError: [400, "app.plugin.settings.app_error"],
  ManifestError: [400, "app.plugin.manifest.app_error"],
  BundleError: [400, "app.plugin.manifest.app_error"],
  BundleSignatureError: [400, "api.plugin.verify_plugin.app_error"],
  BundleStoreError: [500, "app.plugin.store.app_error"],
  UnreadableError: [500, "app.plugin.database.app_error"],
}

/** The same for an archive that nothing is installed from, by what is wrong with it. */
const REFUSED: { readonly [K in BundleRefusedError["kind"]]?: readonly [statusCode: number, id: string] } = {
  limit: [413, "api.plugin.upload.file_too_large.app_error"],
  source: [400, "api.plugin.install.download_failed.app_error"],
  disk: [507, "app.plugin.store.app_error"],
}

const classOf = (error: AdminError): readonly [statusCode: number, id: string] => {
  switch (error._tag) {
    case "BundleRefusedError":
      return REFUSED[error.kind] ?? [400, "app.plugin.extract.app_error"]
    case "StorageError":
      return [error.isRetryable ? 503 : 500, "app.plugin.database.app_error"]
    default:
      return KNOWN[error._tag] ?? [500, "app.plugin.start.app_error"]
  }
}

/** An error of the environment as REST clients see it. What has several lines, the end of a stderr say, is in the details. */
export const adminError = (error: AdminError): PluginApiError => {
  const [statusCode, id] = classOf(error)
  const [first = "", ...more] = error.message.split("\n")
  return new PluginApiError({ id, statusCode, message: first, detailedError: more.join("\n") })
}
