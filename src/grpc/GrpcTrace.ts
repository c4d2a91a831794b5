import * as grpc from "@grpc/grpc-js"
import { Effect } from "effect"
import { TRACEPARENT, traceparentOf } from "../rpc/RpcTrace.ts"

/** A call's metadata: the span that it is made in. */
export const traceMetadata: Effect.Effect<grpc.Metadata> = Effect.withFiberSucceed((fiber) => {
  const metadata = new grpc.Metadata()
  const traceparent = traceparentOf(fiber)
  if (traceparent !== undefined) metadata.set(TRACEPARENT, traceparent)
  return metadata
})

/** What a call's metadata say of the span on the other side that it was made in. */
export const traceparentIn = (metadata: grpc.Metadata): string | undefined => {
  const [traceparent] = metadata.get(TRACEPARENT)
  return typeof traceparent === "string" ? traceparent : undefined
}
