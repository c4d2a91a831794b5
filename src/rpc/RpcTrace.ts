import { Context, Effect, type Fiber, Option, Tracer } from "effect"
import { Headers, HttpTraceContext } from "effect/http"

/** The key of W3C's trace context ("traceparent", Trace Context §3.2). */
export const TRACEPARENT = "traceparent"

/** The span that a fiber is in, as calls carry it, so that what the other side does becomes part of the same trace. */
export const traceparentOf = (fiber: Fiber.Fiber<unknown, unknown>): string | undefined => {
  const span = Context.getOrUndefined(fiber.context, Tracer.ParentSpan)
  return span?._tag === "Span" ? HttpTraceContext.toHeaders(span)[TRACEPARENT] : undefined
}

/** Runs what goes on after the effect that starts it has ended, and so is no part of that one's trace. */
export const outsideTrace = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.updateContext(effect, withoutSpan)

const withoutSpan = <R>(context: Context.Context<R>) =>
  Context.omit(Tracer.ParentSpan)(context) as unknown as Context.Context<NoInfer<R>>

/** Whether somebody listens to spans. Effect's own tracer keeps them to itself; to make some for it takes as long as all else. */
export const isTraced = (context: Context.Context<never>): boolean =>
  Context.get(context, Tracer.Tracer) !== Tracer.nativeTracer

// Where in here a span is made says nothing, and costs as much as the span.
const SERVER = { kind: "server", captureStackTrace: false } as const

/**
 * Runs a handler as a span of the method's name: as part of its caller's trace, by what the call carried, or, where the
 * call is part of none and somebody listens, as one in whatever span it is run in.
 */
export const inTraceOf = <A, E, R>(
  traceparent: string | undefined,
  method: string,
  handler: Effect.Effect<A, E, R>,
): Effect.Effect<A, E, R> =>
  traceparent === undefined
    ? Effect.contextWith((context: Context.Context<never>) =>
        isTraced(context) ? Effect.withSpan(handler, method, SERVER) : handler,
      )
    : Effect.withSpan(
        handler,
        method,
        Option.match(HttpTraceContext.w3c(Headers.fromRecordUnsafe({ [TRACEPARENT]: traceparent })), {
          onNone: () => SERVER,
          onSome: (parent) => ({ ...SERVER, parent }),
        }),
      )
