/** `effect-plugin-supervisor/goplugin`: host plugins of any `.proto` over hashicorp/go-plugin's gRPC protocol. */
export type { Curve } from "./AutoMtls.ts"
export { type Broker, BROKER_TIMEOUT, BrokerError } from "./Broker.ts"
export { SHUTDOWN_LIMIT } from "./Controller.ts"
export type {
  ConnectionOptions,
  GoPlugin,
  GoPluginError,
  GoPluginOptions,
  OutputSinks,
  TtrpcOffer,
} from "./GoPlugin.ts"
export { GoPluginClient, type ReattachOptions } from "./GoPluginClient.ts"
export { type HandshakeConfig, HandshakeError, PORT_RANGE, type PortRange, START_TIMEOUT } from "./Handshake.ts"
export { HEALTH_DEADLINE } from "./Health.ts"
export { type AttachedProcess, ReattachConfig, ReattachConfigs, ReattachError } from "./Reattach.ts"
export { PluginLogRate } from "./LogBudget.ts"
export * as SocketDirectory from "./SocketDirectory.ts"
export { SocketDirectoryError } from "./SocketDirectory.ts"
export type { ByteSink } from "./Stdio.ts"
export { type Checksum, ChecksumError } from "../command/Checksum.ts"
export { RECONNECT_LIMIT } from "../grpc/GrpcClient.ts"
export { MAX_CONNECTIONS } from "../grpc/GrpcLimits.ts"
export type { TlsConfig } from "../grpc/Tls.ts"
export type { Metadata } from "../rpc/Metadata.ts"
export type { BidiCall, CallOptions, ClientCall, RpcClient, UnaryAnswer } from "../rpc/RpcClient.ts"
export { RpcError, RpcStatus, statusCode } from "../rpc/RpcError.ts"
export { type CallContext, type Handlers, implement, type ServiceImplementation } from "../rpc/RpcHandler.ts"
export { MAX_CONCURRENT_STREAMS, MAX_MESSAGE_SIZE, MAX_METADATA_SIZE } from "../rpc/RpcLimits.ts"
export { UseControlGroups } from "../process/ControlGroup.ts"
export type { HeldLimit, LimitMode, LimitName, ProcessLimits } from "../process/ProcessLimits.ts"
export { PluginProcess } from "../process/PluginProcess.ts"
export {
  type ProcessExit,
  type ProcessSecret,
  type ProcessSockets,
  type ProcessSpec,
  PluginSpawnError,
  type RunningProcess,
} from "../process/ProcessSpec.ts"
export { findUser, PluginUserError, type ProcessUser } from "../process/ProcessUser.ts"
