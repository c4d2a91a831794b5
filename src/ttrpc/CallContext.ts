import { Effect, Result } from "effect"
import type { Metadata } from "../rpc/Metadata.ts"
import { sendableEntries } from "../rpc/MetadataCheck.ts"
import { RpcStatus, statusCode } from "../rpc/RpcError.ts"
import type { CallContext } from "../rpc/RpcHandler.ts"
import type { RequestEnvelope } from "./Envelope.ts"
import { fromTtrpc } from "./TtrpcMetadata.ts"

/** Metadata that could be sent elsewhere: ttrpc has no place for them, and a handler is told the same of what is wrong. */
const unsent = (metadata: Metadata): Effect.Effect<void, RpcStatus> =>
  Effect.suspend(() =>
    Result.match(sendableEntries(metadata), {
      onFailure: (details) => Effect.fail(new RpcStatus({ code: statusCode.INTERNAL, details })),
      onSuccess: () => Effect.void,
    }),
  )

/** What a call's handler sees of it. */
class TtrpcContext implements CallContext {
  readonly #entries: RequestEnvelope["metadata"]
  #received: Metadata | undefined

  constructor(entries: RequestEnvelope["metadata"]) {
    this.#entries = entries
  }

  get metadata(): Metadata {
    return (this.#received ??= fromTtrpc(this.#entries))
  }

  readonly sendHeaders = unsent
  readonly setTrailers = unsent
}

/** A call without metadata, which are most. */
const bare: CallContext = new TtrpcContext([])

/** What a call's handler sees of it. */
export const contextOf = (entries: RequestEnvelope["metadata"]): CallContext =>
  entries.length === 0 ? bare : new TtrpcContext(entries)
