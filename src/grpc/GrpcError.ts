import * as grpc from "@grpc/grpc-js"
import { Effect, Result, Schema } from "effect"
import { MAX_METADATA_SIZE, MAX_STATUS_TEXT } from "./GrpcLimits.ts"
import { fromGrpc, Metadata, noMetadata, STATUS_DETAILS, toGrpc } from "./GrpcMetadata.ts"

/**
 * A gRPC call that ended with a status other than OK: the call's transport failed, its deadline passed, or the other
 * side answered a status. Never made for an application error that travels inside a response message.
 */
export class GrpcError extends Schema.TaggedError<GrpcError>()("GrpcError", {
  /** Full method path, for example `/mattermost.pluginapi.v1.PluginHooks/OnActivate`. */
  method: Schema.String,
  /** Numeric gRPC status code, 1 to 16. What the other side sends that is none of them is UNKNOWN (2). */
  code: Schema.Int,
  /** The status' text as the other side (or grpc-js) gave it. */
  details: Schema.String,
  /** What the other side sent along with the status. */
  trailers: Metadata.pipe(Schema.withConstructorDefault(Effect.succeed(noMetadata))),
}) {
  /** The status code's name, for example `UNAVAILABLE`. */
  get status(): string {
    return grpc.status[this.code] ?? `status ${this.code}`
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
    return this.code === grpc.status.DEADLINE_EXCEEDED
  }

  /** True when the other side does not have the method. */
  get isUnimplemented(): boolean {
    return this.code === grpc.status.UNIMPLEMENTED
  }
}

/** A status a server's handler ends a call with. */
export class GrpcStatus extends Schema.TaggedError<GrpcStatus>()("GrpcStatus", {
  /** One of `statusCode` other than OK; any other is sent as UNKNOWN. */
  code: Schema.Int,
  details: Schema.String,
  /** Sent along with the status. */
  trailers: Schema.optional(Metadata),
  /** A `google.rpc.Status` message as bytes, which says more of the error. */
  statusDetails: Schema.optional(Schema.Uint8Array),
}) {}

/** gRPC's status codes by name. */
export const statusCode = grpc.status

/** A code other than OK; what is no code of gRPC's is UNKNOWN (gRPC's "Status codes and their use"). */
const errorCode = (code: unknown): number =>
  typeof code === "number" && code !== grpc.status.OK && grpc.status[code] !== undefined ? code : grpc.status.UNKNOWN

/**
 * What a status of grpc-js' own says of an answer without a message, or with several. Its code is UNIMPLEMENTED, which
 * must not be taken for the other side's word that it does not have the method.
 */
const WRONG_COUNT = new Set(["No message received", "Too many responses received"])

/** What grpc-js adds to the error of a connection that could not be made: when that was, and nothing. */
const CONNECTION_NOTE = /\s*\([-\d]+T[\d:.]+Z\)\. Resolution note: $/

/**
 * What grpc-js throws, or hands to a callback or a listener, as a typed error. What is in it is the other side's choice:
 * all of it is taken, and nothing is thrown. `deadline` is the call's, in milliseconds since 1970: a server that cancels
 * the call then means it (grpc-go resets the stream, and may be before our own timer).
 */
export const fromUnknown = (method: string, error: unknown, deadline = Number.POSITIVE_INFINITY): GrpcError => {
  const { code, details, message, metadata } = (
    typeof error === "object" && error !== null ? error : { message: String(error) }
  ) as Partial<grpc.ServiceError>
  const given = typeof details === "string" ? details : typeof message === "string" ? message : ""
  const text = given.replace(CONNECTION_NOTE, "")
  const isLate = code === grpc.status.CANCELLED && Date.now() >= deadline
  return new GrpcError({
    method,
    code: WRONG_COUNT.has(text) ? grpc.status.INTERNAL : isLate ? grpc.status.DEADLINE_EXCEEDED : errorCode(code),
    details: text,
    trailers: fromGrpc(metadata),
  })
}

/** A status as grpc-js sends it, and what of it can't be sent: that never keeps the code from being. */
export const toStatus = (
  status: GrpcStatus | GrpcError,
): { readonly status: Partial<grpc.StatusObject>; readonly problem: string | undefined } => {
  const text = status.details.toWellFormed()
  const metadata = new grpc.Metadata()
  const added = status._tag === "GrpcError" ? Result.succeed(metadata) : addTrailers(status, metadata)
  return {
    status: {
      code: errorCode(status.code),
      details: text.length > MAX_STATUS_TEXT ? `${text.slice(0, MAX_STATUS_TEXT).toWellFormed()}…` : text,
      metadata: Result.getOrElse(added, () => new grpc.Metadata()),
    },
    problem: Result.isFailure(added) ? added.failure : undefined,
  }
}

const addTrailers = ({ statusDetails, trailers }: GrpcStatus, metadata: grpc.Metadata) => {
  if (statusDetails !== undefined) {
    if (statusDetails.length > MAX_METADATA_SIZE) {
      return Result.fail(`its details have ${statusDetails.length} bytes, of ${MAX_METADATA_SIZE} that may be sent`)
    }
    metadata.set(STATUS_DETAILS, Buffer.from(statusDetails))
  }
  return trailers === undefined ? Result.succeed(metadata) : toGrpc(trailers, metadata)
}
