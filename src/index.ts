/**
 * `effect-plugin-supervisor`: plugins written in Python, or in any language that speaks go-plugin's gRPC protocol, as
 * supervised subprocesses of an Effect backend. Start with {@link PluginHost}.
 */
export { PluginApi, PluginApiError, type PluginApiMethods, type PluginCaller } from "./api/PluginApi.ts"
export { pluginHttp, type PluginHttpOptions } from "./api/PluginHttp.ts"
export { PluginApiServer } from "./api/PluginApiServer.ts"
export { type Manifest, ManifestError } from "./bundle/Manifest.ts"
export { PathSanitizer, UnsafePathError } from "./bundle/PathSanitizer.ts"
export {
  BundleError,
  type Discovered,
  PassedOverError,
  type PluginBundle,
  PluginBundles,
} from "./bundle/PluginBundle.ts"
export { type Checksum, ChecksumError } from "./command/Checksum.ts"
export { HostEnvironment } from "./command/HostEnvironment.ts"
export {
  type Command,
  type NativeOptions,
  NotExecutableError,
  PluginCommand,
  type PluginCommandError,
  type PluginCommandOptions,
} from "./command/PluginCommand.ts"
export { detectRuntime, NoExecutableError, type PluginRuntime } from "./command/PluginRuntime.ts"
export { BrokenVenvError, PythonInterpreter, PythonNotFoundError } from "./command/PythonInterpreter.ts"
export { ServerVersion, ServerVersionError } from "./command/ServerVersion.ts"
export { WAIT_DELAY } from "./command/WaitDelay.ts"
export { type EnvironmentOptions, PluginEnvironment } from "./environment/PluginEnvironment.ts"
export * as PluginHost from "./environment/PluginHost.ts"
export type { GoPluginError } from "./goplugin/GoPlugin.ts"
export { GoPluginClient } from "./goplugin/GoPluginClient.ts"
export { HandshakeError } from "./goplugin/Handshake.ts"
export { PluginLogRate } from "./goplugin/LogBudget.ts"
export type { GrpcServerError } from "./grpc/GrpcServer.ts"
export { type ActivePlugin, ActivePlugins } from "./hooks/ActivePlugins.ts"
export {
  type Collected,
  type Decided,
  DISMISS_POST_REASON,
  HookDispatcher,
  HookRejectedError,
  type RequestContext,
} from "./hooks/HookDispatcher.ts"
export {
  HookDeadlineError,
  type HookError,
  HookNotImplementedError,
  HookPluginError,
  HookSuspendedError,
  HookTransportError,
} from "./hooks/HookError.ts"
export { type Hook, hookName, type UnaryHook } from "./hooks/HookName.ts"
export type { DecidingHook, Notification } from "./hooks/HookKind.ts"
export { hookPolicies, HookPoliciesError } from "./hooks/HookPolicies.ts"
export { HOOK_DEADLINE, HOOK_POLICY, type HookPolicy, type HooksOptions } from "./hooks/HookPolicy.ts"
export { type HookClient, type HookHandlers, Hooks } from "./hooks/Hooks.ts"
export type { PluginHttpServer } from "./hooks/PluginOffers.ts"
export { type PluginHttpRequest, type PluginHttpResponse, serveHttp } from "./hooks/ServeHttp.ts"
export { AccessToken, AccessTokenFileError } from "./http/AccessToken.ts"
export * as HostCheck from "./http/HostCheck.ts"
export { HttpAuthorization } from "./http/HttpAuthorization.ts"
export { HttpFailures } from "./http/HttpFailures.ts"
export { MetricsRoutes } from "./http/MetricsRoutes.ts"
export { createServer } from "./http/NodeServer.ts"
export * as PluginRoutes from "./http/PluginRoutes.ts"
export { PluginStatusRoutes } from "./http/PluginStatusRoutes.ts"
export { WorkspaceRoutes } from "./http/WorkspaceRoutes.ts"
export { UseControlGroups } from "./process/ControlGroup.ts"
export { PluginProcess } from "./process/PluginProcess.ts"
export { PluginSpawnError, type ProcessExit, type RunningProcess } from "./process/ProcessSpec.ts"
export {
  BadKeyError,
  KeyValues,
  type ListKeysOptions,
  type SetValueOptions,
  ValueTooLargeError,
} from "./storage/KeyValues.ts"
export { BadSettingsError, PluginSettings, type SettingsByPlugin } from "./storage/PluginSettings.ts"
export { PluginStorage } from "./storage/PluginStorage.ts"
export { UnreadableError } from "./storage/Rows.ts"
export { StorageError } from "./storage/StorageError.ts"
export { StorageLimits, type StorageLimitsValues } from "./storage/StorageLimits.ts"
export { type StorageOpenError, StorageVersionError } from "./storage/StorageTables.ts"
export type { PluginState, PluginStateName } from "./supervisor/PluginLife.ts"
export {
  PluginExitedError,
  type PluginRun,
  type PluginStartError,
  PluginStoppedError,
  type RunEnd,
} from "./supervisor/PluginRun.ts"
export { PluginRuns } from "./supervisor/PluginRuns.ts"
export {
  DEACTIVATE_LIMIT,
  DRAIN_LIMIT,
  MATTERMOST_HANDSHAKE,
  PLUGIN_START_TIMEOUT,
  type SupervisorOptions,
} from "./supervisor/SupervisorOptions.ts"
export { PluginSupervisor, type SupervisedPlugin } from "./supervisor/PluginSupervisor.ts"
export { Workspace } from "./workspace/Workspace.ts"
export { WorkspaceLimits } from "./workspace/WorkspaceLimits.ts"
export { WorkspacePluginApi } from "./workspace/WorkspacePluginApi.ts"
export { WorkspaceSettings } from "./workspace/WorkspaceSettings.ts"
