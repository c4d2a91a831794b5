import * as grpc from "@grpc/grpc-js"
import { Schema } from "effect"

/**
 * A gRPC call that ended with a status other than OK: the call's transport failed, its deadline passed, or the other
 * side answered a status. Never made for an application error that travels inside a response message.
 */
export class GrpcError extends Schema.TaggedError<GrpcError>()("GrpcError", {
  /** Full method path, for example `/mattermost.pluginapi.v1.PluginHooks/OnActivate`. */
  method: Schema.String,
  /** Numeric gRPC status code. */
  code: Schema.Int,
  /** The status' text as the other side (or grpc-js) gave it. */
  details: Schema.String,
}) {
  /** The status code's name, for example `UNAVAILABLE`. */
  get status(): string {
    return grpc.status[this.code] ?? `status ${this.code}`
  }

  override get message(): string {
    return `${this.method}: ${this.status}${this.details === "" ? "" : `: ${this.details}`}`
  }

  /** True when the call's own deadline passed. */
  get isDeadline(): boolean {
    return this.code === grpc.status.DEADLINE_EXCEEDED
  }

  /** True when the other side does not have the method. */
  get isUnimplemented(): boolean {
    return this.code === grpc.status.UNIMPLEMENTED
  }
}

/** A status a server's handler ends a call with. */
export class GrpcStatus extends Schema.TaggedError<GrpcStatus>()("GrpcStatus", {
  code: Schema.Int,
  details: Schema.String,
}) {}

/** gRPC's status codes by name. */
export const statusCode = grpc.status

const isServiceError = (error: unknown): error is grpc.ServiceError =>
  error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error

/** What grpc-js throws or hands to a callback, as a typed error. */
export const fromUnknown = (method: string, error: unknown): GrpcError =>
  isServiceError(error)
    ? new GrpcError({ method, code: error.code, details: error.details })
    : new GrpcError({
        method,
        code: grpc.status.UNKNOWN,
        details: error instanceof Error ? error.message : String(error),
      })
