import * as grpc from "@grpc/grpc-js"
import { Result } from "effect"
import { errorCode, RpcError, type RpcStatus } from "../rpc/RpcError.ts"
import { STATUS_DETAILS } from "../rpc/Metadata.ts"
import { MAX_METADATA_SIZE } from "../rpc/RpcLimits.ts"
import { fromGrpc, toGrpc } from "./GrpcMetadata.ts"

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
export const fromUnknown = (method: string, error: unknown, deadline = Number.POSITIVE_INFINITY): RpcError => {
  const { code, details, message, metadata } = (
    typeof error === "object" && error !== null ? error : { message: String(error) }
  ) as Partial<grpc.ServiceError>
  const given = typeof details === "string" ? details : typeof message === "string" ? message : ""
  const text = given.replace(CONNECTION_NOTE, "")
  const isLate = code === grpc.status.CANCELLED && Date.now() >= deadline
  return new RpcError({
    method,
    code: WRONG_COUNT.has(text) ? grpc.status.INTERNAL : isLate ? grpc.status.DEADLINE_EXCEEDED : errorCode(code),
    details: text,
    trailers: fromGrpc(metadata),
  })
}

/** A status as grpc-js sends it, and what of it can't be sent: that never keeps the code from being. */
export const toStatus = (
  status: RpcStatus,
): { readonly status: Partial<grpc.StatusObject>; readonly problem: string | undefined } => {
  const added = addTrailers(status, new grpc.Metadata())
  return {
    status: {
      code: status.code,
      details: status.details,
      metadata: Result.getOrElse(added, () => new grpc.Metadata()),
    },
    problem: Result.isFailure(added) ? added.failure : undefined,
  }
}

const addTrailers = ({ statusDetails, trailers }: RpcStatus, metadata: grpc.Metadata) => {
  if (statusDetails !== undefined) {
    if (statusDetails.length > MAX_METADATA_SIZE) {
      return Result.fail(`its details have ${statusDetails.length} bytes, of ${MAX_METADATA_SIZE} that may be sent`)
    }
    metadata.set(STATUS_DETAILS, Buffer.from(statusDetails))
  }
  return trailers === undefined ? Result.succeed(metadata) : toGrpc(trailers, metadata)
}
