import { Effect, Schema } from "effect"
import { Metadata, noMetadata, STATUS_DETAILS } from "./Metadata.ts"

/**
 * A call that ended with a status other than OK: the call's transport failed, its deadline passed, or the other
 * side answered a status. Never made for an application error that travels inside a response message.
 */
export class RpcError extends Schema.TaggedError<RpcError>()("RpcError", {
  /** Full method path, for example `/mattermost.pluginapi.v1.PluginHooks/OnActivate`. */
  method: Schema.String,
  /** The status code, 1 to 16 (`statusCode`). What the other side sends that is none of them is UNKNOWN (2). */
  code: Schema.Int,
  /** The status' text as the other side (or the transport) gave it. */
  details: Schema.String,
  /** What the other side sent along with the status. */
  trailers: Metadata.pipe(Schema.withConstructorDefault(Effect.succeed(noMetadata))),
}) {
  /** The status code's name, for example `UNAVAILABLE`. */
  get status(): string {
    return NAMES.get(this.code) ?? `status ${this.code}`
  }

  override get message(): string {
    return `${this.method}: ${this.status}${this.details === "" ? "" : `: ${this.details}`}`
  }

  /** The `google.rpc.Status` message that came with the status, as bytes; decode it with a schema of that message. */
  get statusDetails(): Uint8Array | undefined {
    const details = this.trailers[STATUS_DETAILS]
    return typeof details === "string" ? undefined : details
  }

  /** True when the call's own deadline passed. */
  get isDeadline(): boolean {
    return this.code === statusCode.DEADLINE_EXCEEDED
  }

  /** True when the other side does not have the method. */
  get isUnimplemented(): boolean {
    return this.code === statusCode.UNIMPLEMENTED
  }
}

/** A status a server's handler ends a call with. */
export class RpcStatus extends Schema.TaggedError<RpcStatus>()("RpcStatus", {
  /** One of `statusCode` other than OK; any other is sent as UNKNOWN. */
  code: Schema.Int,
  details: Schema.String,
  /** Sent along with the status. */
  trailers: Schema.optional(Metadata),
  /** A `google.rpc.Status` message as bytes, which says more of the error. */
  statusDetails: Schema.optional(Schema.Uint8Array),
}) {}

/** The status codes by name: gRPC's, which ttrpc has as well (`google.rpc.Code`). */
export const statusCode = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(statusCode).map(([name, code]) => [code, name]))

/** A code other than OK; what is no code of gRPC's is UNKNOWN (gRPC's "Status codes and their use"). */
export const errorCode = (code: unknown): number =>
  typeof code === "number" && code !== statusCode.OK && NAMES.has(code) ? code : statusCode.UNKNOWN
