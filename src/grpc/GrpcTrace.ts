import * as grpc from "@grpc/grpc-js"
import { Effect, Option, type Tracer } from "effect"
import { Headers, HttpTraceContext } from "effect/http"

/** The key of W3C's trace context ("traceparent", Trace Context §3.2). */
const TRACEPARENT = "traceparent"

/** A call's metadata: the span that it is made in, so that what the other side does becomes part of the same trace. */
export const traceMetadata: Effect.Effect<grpc.Metadata> = Effect.match(Effect.currentSpan, {
  onFailure: () => new grpc.Metadata(),
  onSuccess: (span) => {
    const metadata = new grpc.Metadata()
    const traceparent = HttpTraceContext.toHeaders(span)[TRACEPARENT]
    if (traceparent !== undefined) metadata.set(TRACEPARENT, traceparent)
    return metadata
  },
})

/** The span on the other side that a call was made in, if it says so. */
const parentOf = (metadata: grpc.Metadata): Option.Option<Tracer.ExternalSpan> => {
  const [traceparent] = metadata.get(TRACEPARENT)
  return typeof traceparent === "string"
    ? HttpTraceContext.w3c(Headers.fromRecordUnsafe({ [TRACEPARENT]: traceparent }))
    : Option.none()
}

// Where in here a span is made says nothing, and costs as much as the span.
const SERVER = { kind: "server", captureStackTrace: false } as const
const ROOT: Tracer.SpanOptions = { ...SERVER, root: true }

/**
 * Runs a handler as a span of the method's name: as part of its caller's trace, or, where the call is part of none, as
 * the root of its own. The span that the server was made in is no parent: it has ended long ago.
 */
export const inTraceOf = <A, E, R>(
  metadata: grpc.Metadata,
  method: string,
  handler: Effect.Effect<A, E, R>,
): Effect.Effect<A, E, R> =>
  Effect.withSpan(
    handler,
    method,
    Option.match(parentOf(metadata), { onNone: () => ROOT, onSome: (parent) => ({ ...SERVER, parent }) }),
  )
