import * as grpc from "@grpc/grpc-js"
import { Result } from "effect"
import { type Metadata, noMetadata, STATUS_DETAILS } from "../rpc/Metadata.ts"
import { sendableEntries } from "../rpc/MetadataCheck.ts"

/**
 * Adds entries to what grpc-js sends; `base` is returned. Where an entry can't be sent the result says why, and of its
 * value nothing.
 */
export const toGrpc = (
  metadata: Metadata,
  base: grpc.Metadata = new grpc.Metadata(),
): Result.Result<grpc.Metadata, string> =>
  Result.map(sendableEntries(metadata), (entries) => {
    for (const [key, value] of entries) base.set(key, typeof value === "string" ? value : Buffer.from(value))
    return base
  })

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
