import * as grpc from "@grpc/grpc-js"
import { Result } from "effect"
import { type Metadata, noMetadata, STATUS_DETAILS } from "../rpc/Metadata.ts"
import { MAX_METADATA_SIZE } from "./GrpcLimits.ts"

/**
 * Keys of the protocols' own. Some of them would not only fail the call that they are sent with but end the connection,
 * and all other calls on it.
 */
const RESERVED = new Set([
  "accept-encoding",
  "connection",
  "content-length",
  "content-type",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
  "user-agent",
])

const isReserved = (key: string): boolean => key.startsWith("grpc-") || RESERVED.has(key)

/** What each entry costs beside its own bytes (RFC 9113 §6.5.2). */
const ENTRY_OVERHEAD = 32

const sizeOf = (metadata: Metadata): number =>
  Object.entries(metadata).reduce((size, [key, value]) => size + key.length + value.length + ENTRY_OVERHEAD, 0)

/**
 * Adds entries to what grpc-js sends; `base` is returned. Where an entry can't be sent the result says why, and of its
 * value nothing.
 */
export const toGrpc = (
  metadata: Metadata,
  base: grpc.Metadata = new grpc.Metadata(),
): Result.Result<grpc.Metadata, string> => {
  const size = sizeOf(metadata)
  if (size > MAX_METADATA_SIZE) {
    return Result.fail(`its metadata has ${size} bytes, of ${MAX_METADATA_SIZE} that may be sent`)
  }
  for (const [given, value] of Object.entries(metadata)) {
    const key = given.toLowerCase()
    if (isReserved(key)) return Result.fail(`metadata can't have the key ${JSON.stringify(given)}, which is gRPC's own`)
    if (!/^[0-9a-z_.-]+$/.test(key)) return Result.fail(`${JSON.stringify(given)} is no key for metadata`)
    if (typeof value === "string") {
      if (key.endsWith("-bin")) return Result.fail(`metadata under ${JSON.stringify(given)} must be bytes`)
      if (!/^[ -~]*$/.test(value)) return Result.fail(`metadata under ${JSON.stringify(given)} is not printable ASCII`)
      base.set(key, value)
    } else {
      if (!key.endsWith("-bin")) return Result.fail(`metadata of bytes needs a key that ends in -bin: ${given}`)
      base.set(key, Buffer.from(value))
    }
  }
  return Result.succeed(base)
}

/** What gRPC itself adds to headers and trailers, and grpc-js leaves in them. */
const isOwn = (key: string): boolean => key === "content-type" || (key.startsWith("grpc-") && key !== STATUS_DETAILS)

/** What grpc-js has received. */
export const fromGrpc = (metadata: grpc.Metadata | undefined): Metadata =>
  metadata === undefined
    ? noMetadata
    : Object.fromEntries(
        Object.entries(metadata.toJSON()).flatMap(([key, values]) => {
          const [first] = values
          if (first === undefined || isOwn(key)) return []
          return [[key, typeof first === "string" ? values.join(", ") : new Uint8Array(first)] as const]
        }),
      )
