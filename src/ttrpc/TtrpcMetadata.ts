import { Result } from "effect"
import { type Metadata, noMetadata } from "../rpc/Metadata.ts"
import { sendableEntries } from "../rpc/MetadataCheck.ts"
import { TRACEPARENT } from "../rpc/RpcTrace.ts"

type Entries = ReadonlyArray<readonly [key: string, value: string]>

const NONE: Entries = []

const isBinary = (key: string): boolean => key.endsWith("-bin")

/** What goes along with a call: the trace that it is part of, and what its caller says. */
export const toTtrpc = (metadata: Metadata, traceparent: string | undefined): Result.Result<Entries, string> => {
  const traced: Entries = traceparent === undefined ? NONE : [[TRACEPARENT, traceparent]]
  if (metadata === noMetadata) return Result.succeed(traced)
  return Result.map(sendableEntries(metadata), (entries) => [
    // What a caller says of it itself counts, as a key that comes twice would be joined.
    ...(entries.some(([key]) => key === TRACEPARENT) ? NONE : traced),
    ...entries.map(
      ([key, value]) =>
        [key, typeof value === "string" ? value : Buffer.from(value).toString("base64").replace(/=+$/, "")] as const,
    ),
  ])
}

/** What came along with a call. */
export const fromTtrpc = (entries: Entries): Metadata => {
  if (entries.length === 0) return noMetadata
  const texts = new Map<string, string | Uint8Array>()
  for (const [given, value] of entries) {
    const key = given.toLowerCase()
    const known = texts.get(key)
    if (isBinary(key)) {
      // Of bytes the first count.
      if (known === undefined) texts.set(key, new Uint8Array(Buffer.from(value, "base64")))
    } else {
      texts.set(key, known === undefined ? value : `${String(known)}, ${value}`)
    }
  }
  return Object.fromEntries(texts)
}

/** What a call says of the span on the other side that it was made in. */
export const traceparentIn = (entries: Entries): string | undefined => entries.find(([key]) => key === TRACEPARENT)?.[1]
