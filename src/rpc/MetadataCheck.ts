import { Result } from "effect"
import type { Metadata } from "./Metadata.ts"
import { MAX_METADATA_SIZE } from "./RpcLimits.ts"

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
 * The entries of metadata as any transport can send them, with keys in lower case. Where one can't be sent the result says
 * why, and of its value nothing.
 */
export const sendableEntries = (
  metadata: Metadata,
): Result.Result<ReadonlyArray<readonly [key: string, value: string | Uint8Array]>, string> => {
  const size = sizeOf(metadata)
  if (size > MAX_METADATA_SIZE) {
    return Result.fail(`its metadata has ${size} bytes, of ${MAX_METADATA_SIZE} that may be sent`)
  }
  const entries: Array<readonly [string, string | Uint8Array]> = []
  for (const [given, value] of Object.entries(metadata)) {
    const key = given.toLowerCase()
    if (isReserved(key)) return Result.fail(`metadata can't have the key ${JSON.stringify(given)}, which is gRPC's own`)
    if (!/^[0-9a-z_.-]+$/.test(key)) return Result.fail(`${JSON.stringify(given)} is no key for metadata`)
    if (typeof value === "string") {
      if (key.endsWith("-bin")) return Result.fail(`metadata under ${JSON.stringify(given)} must be bytes`)
      if (!/^[ -~]*$/.test(value)) return Result.fail(`metadata under ${JSON.stringify(given)} is not printable ASCII`)
    } else if (!key.endsWith("-bin")) {
      return Result.fail(`metadata of bytes needs a key that ends in -bin: ${given}`)
    }
    entries.push([key, value])
  }
  return Result.succeed(entries)
}
