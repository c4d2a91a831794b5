import { Context, Effect, type Fiber, Option, Tracer } from "effect"
import { Headers, HttpTraceContext } from "effect/http"

/** The key of W3C's trace context ("traceparent", Trace Context §3.2). */
export const TRACEPARENT = "traceparent"

/** The span that a fiber is in, as calls carry it, so that what the other side does becomes part of the same trace. */
export const traceparentOf = (fiber: Fiber.Fiber<unknown, unknown>): string | undefined => {
  const span = Context.getOrUndefined(fiber.context, Tracer.ParentSpan)
  return span?._tag === "Span" ? HttpTraceContext.toHeaders(span)[TRACEPARENT] : undefined
}

// Where in here a span is made says nothing, and costs as much as the span.
const SERVER = { kind: "server", captureStackTrace: false } as const
const ROOT: Tracer.SpanOptions = { ...SERVER, root: true }

/**
 * Runs a handler as a span of the method's name: as part of its caller's trace, by what the call carried, or, where the
 * call is part of none, as the root of its own. The span that the server was made in is no parent: it has ended long ago.
 */
export const inTraceOf = <A, E, R>(
  traceparent: string | undefined,
  method: string,
  handler: Effect.Effect<A, E, R>,
): Effect.Effect<A, E, R> =>
  Effect.withSpan(
    handler,
    method,
    traceparent === undefined
      ? ROOT
      : Option.match(HttpTraceContext.w3c(Headers.fromRecordUnsafe({ [TRACEPARENT]: traceparent })), {
          onNone: () => ROOT,
          onSome: (parent) => ({ ...SERVER, parent }),
        }),
  )
