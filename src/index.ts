/**
 * `effect-plugin-supervisor`: plugins written in Python, or in any language that speaks go-plugin's gRPC protocol, as
 * supervised subprocesses of an Effect backend. Start with {@link PluginHost}.
 */
export { type ApiHandlers, type ApiMethods, PluginApiError, type PluginCaller } from "./api/PluginApi.ts"
export { PluginApiServer } from "./api/PluginApiServer.ts"
export { type ArchiveSource, unpackArchive, type UnpackedBundle } from "./bundle/BundleArchive.ts"
export type { BundleFile } from "./bundle/BundleFiles.ts"
export { BundleModifiedError, checkIntegrity, type FileChange } from "./bundle/BundleIntegrity.ts"
export { BundleLimits, type BundleLimitsValues } from "./bundle/BundleLimits.ts"
export { packBundle, type PackedBundle } from "./bundle/BundlePack.ts"
export { BundleRefusedError } from "./bundle/BundleRefusedError.ts"
export {
  type BundleSignature,
  BundleSignatureError,
  checkSignature,
  signBundle,
  SignaturePolicy,
  type SignaturePolicyValues,
} from "./bundle/BundleSignature.ts"
export {
  type BundleSource,
  BundleStore,
  BundleStoreError,
  type InstalledBundle,
  type StagedBundle,
  type StageError,
  type Swept,
} from "./bundle/BundleStore.ts"
export { DowngradeError, refuseDowngrade } from "./bundle/BundleVersion.ts"
export { type Manifest, ManifestError } from "./bundle/Manifest.ts"
export { PathSanitizer, UnsafePathError } from "./bundle/PathSanitizer.ts"
export {
  BundleError,
  type Discovered,
  PassedOverError,
  type PluginBundle,
  PluginBundles,
} from "./bundle/PluginBundle.ts"
export {
  keyId,
  makeSigningKey,
  readPrivateKey,
  readTrustedKeys,
  SigningKeyError,
  type TrustedKey,
} from "./bundle/SigningKey.ts"
export type { ServedBackend } from "./cli/ContractBackend.ts"
export { type Checksum, ChecksumError } from "./command/Checksum.ts"
export { HostEnvironment, type Variables } from "./command/HostEnvironment.ts"
export {
  type Command,
  type NativeOptions,
  NotExecutableError,
  PluginCommand,
  type PluginCommandError,
  type PluginCommandOptions,
} from "./command/PluginCommand.ts"
export { detectRuntime, NoExecutableError, type Platform, type PluginRuntime } from "./command/PluginRuntime.ts"
export {
  type EnvironmentBuild,
  PythonEnvironment,
  type PythonEnvironmentError,
  PythonEnvironmentFolderError,
  PythonInstallError,
  PythonRequirementsError,
  PythonToolError,
} from "./command/PythonEnvironment.ts"
export { BrokenVenvError, PythonInterpreter, PythonNotFoundError } from "./command/PythonInterpreter.ts"
export { ServerVersion, ServerVersionError } from "./command/ServerVersion.ts"
export { WAIT_DELAY } from "./command/WaitDelay.ts"
export * as Contract from "./contract/Contract.ts"
// Types of namespaces by names of their own as well: declarations that the compiler writes can't refer to them otherwise.
export type { AnyContract, Contract as PluginContract } from "./contract/AnyContract.ts"
export type { BusinessError, BusinessErrors } from "./contract/BusinessErrors.ts"
export { ContractError } from "./contract/ContractCheck.ts"
export type { Decision, OnFailure } from "./contract/Decision.ts"
export type {
  AskingHook,
  Decided,
  DecidingHook,
  Hook,
  HookMethod,
  Notification,
  UnaryHook,
  UnaryHookOf,
} from "./contract/HookNames.ts"
export type { PluginFacts } from "./contract/PluginFacts.ts"
export {
  AlreadyInstalledError,
  DisabledError,
  type EnableError,
  type InstallError,
  InvalidSettingsError,
  KeptByHandError,
  NotStoredError,
  type RemoveError,
  type RestartError,
  type SettingsError,
  UnknownPluginError,
} from "./environment/EnvironmentError.ts"
export type { LostPlugin } from "./environment/FoundBundles.ts"
export type {
  EnvironmentOptions,
  InstallOptions,
  ManagedPlugin,
  PluginEnvironment,
} from "./environment/PluginEnvironment.ts"
export { type PluginLogLine, PluginLogs } from "./environment/PluginLogs.ts"
export * as PluginHost from "./environment/PluginHost.ts"
export type {
  Api as PluginHostApi,
  Environment as PluginHostEnvironment,
  HostClass as PluginHostClass,
  Supervisor as PluginHostSupervisor,
} from "./environment/PluginHost.ts"
export { SocketDirectoryError } from "./goplugin/SocketDirectory.ts"
export type { GoPluginError } from "./goplugin/GoPlugin.ts"
export { GoPluginClient } from "./goplugin/GoPluginClient.ts"
export { HandshakeError } from "./goplugin/Handshake.ts"
export { PluginLogRate } from "./goplugin/LogBudget.ts"
export type { ActivePlugin, ActivePlugins } from "./hooks/ActivePlugins.ts"
export type { Collected, HookDispatcher } from "./hooks/HookDispatcher.ts"
export {
  HookDeadlineError,
  type HookError,
  HookNotImplementedError,
  HookPluginError,
  HookSuspendedError,
  HookTransportError,
} from "./hooks/HookError.ts"
export { pluginOptions, type PluginOptions, PluginOptionsError } from "./supervisor/PluginOptions.ts"
export {
  type AnyHooksOptions,
  HOOK_DEADLINE,
  HOOK_POLICY,
  type HookPolicy,
  type HooksOptions,
} from "./hooks/HookPolicy.ts"
export { HookRejectedError } from "./hooks/HookRejectedError.ts"
export { type AnyHookHandlers, type HookClient, type HookHandlers, Hooks, type UnaryHooks } from "./hooks/Hooks.ts"
export type { PluginHttpServer } from "./hooks/PluginHttpServer.ts"
export { type PluginHttpRequest, type PluginHttpResponse, serveHttp } from "./hooks/ServeHttp.ts"
export { AccessToken, AccessTokenFileError, type TokenSource } from "./http/AccessToken.ts"
export * as AdminRoutes from "./http/AdminRoutes.ts"
export type { RequestId, RestError } from "./http/AppErrorResponse.ts"
export * as HostCheck from "./http/HostCheck.ts"
export { HttpAuthorization } from "./http/HttpAuthorization.ts"
export { HttpFailures } from "./http/HttpFailures.ts"
export { MetricsRoutes } from "./http/MetricsRoutes.ts"
export { createServer } from "./http/NodeServer.ts"
export * as PluginRoutes from "./http/PluginRoutes.ts"
export { WorkspaceRoutes } from "./http/WorkspaceRoutes.ts"
export { DISMISS_POST_REASON, isDismissal } from "./mattermost/Dismissal.ts"
export { MattermostContract } from "./mattermost/MattermostContract.ts"
export { type MattermostApiMethods, MattermostPlugins, type RequestContext } from "./mattermost/MattermostPlugins.ts"
export { pluginHttp, type PluginHttpOptions } from "./mattermost/PluginHttp.ts"
export { STATE_NUMBER } from "./mattermost/PluginStateNumber.ts"
export { UseControlGroups } from "./process/ControlGroup.ts"
export type { HeldLimit, LimitMode, LimitName, ProcessLimits } from "./process/ProcessLimits.ts"
export { PluginProcess } from "./process/PluginProcess.ts"
export { PluginSpawnError, type ProcessExit, type RunningProcess } from "./process/ProcessSpec.ts"
export { PluginUserError } from "./process/ProcessUser.ts"
export * as PythonEnvironments from "./python/PythonEnvironments.ts"
export type {
  Methods,
  Request as RpcRequest,
  RequestInit as RpcRequestInit,
  Response as RpcResponse,
  ResponseInit as RpcResponseInit,
  UnaryName,
} from "./rpc/RpcMethod.ts"
export type { RpcServerError } from "./rpc/RpcServer.ts"
export {
  BadKeyError,
  KeyValues,
  type ListKeysOptions,
  type SetValueOptions,
  ValueTooLargeError,
} from "./storage/KeyValues.ts"
export { BadSettingsError, PluginSettings, type SettingsByPlugin } from "./storage/PluginSettings.ts"
export { type CurrentBundle, PluginStates, type StoredPluginState } from "./storage/PluginStates.ts"
export { PluginStorage } from "./storage/PluginStorage.ts"
export { UnreadableError } from "./storage/Rows.ts"
export { StorageError } from "./storage/StorageError.ts"
export { StorageLimits, type StorageLimitsValues } from "./storage/StorageLimits.ts"
export { type StorageOpenError, StorageVersionError } from "./storage/StorageTables.ts"
export { HEALTH_INTERVAL, HEALTH_MISSES, type HealthOptions } from "./supervisor/HealthMonitor.ts"
export type { Failure, PluginState, PluginStateName } from "./supervisor/PluginLife.ts"
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
  PLUGIN_START_TIMEOUT,
  type PluginLimits,
  STREAM_LIMIT,
  type SupervisorOptions,
} from "./supervisor/SupervisorOptions.ts"
export {
  RESTART_BUDGET,
  RESTART_DELAY,
  RESTART_MAX_DELAY,
  type RestartOptions,
  RETRY_EVERY,
  STABLE_AFTER,
} from "./supervisor/RestartPolicy.ts"
export type { PluginSupervisor, SupervisedPlugin } from "./supervisor/PluginSupervisor.ts"
export type { KeyValueSetOptions } from "./workspace/KeyValueStore.ts"
export type { Page } from "./workspace/Paging.ts"
export type { PostReader } from "./workspace/PostReader.ts"
export type { PostChange } from "./workspace/PostWriter.ts"
export type { UserFilter } from "./workspace/UserStore.ts"
export { Workspace } from "./workspace/Workspace.ts"
export { WorkspaceLimits, type WorkspaceLimitsValues } from "./workspace/WorkspaceLimits.ts"
export { WorkspacePluginApi } from "./workspace/WorkspacePluginApi.ts"
export { WorkspaceSettings } from "./workspace/WorkspaceSettings.ts"
