import { type Context, Duration, Effect, Exit, type Scope } from "effect"
import { HttpTraceContext } from "effect/http"
import { isTraced } from "../rpc/RpcTrace.ts"
import { type DirectAnswer, type DirectRequest, Exchange, type Outcome } from "./Exchange.ts"
import { brokenResponse, HookDeadlineError, type HookError, HookTransportError } from "./HookError.ts"
import type { HookMeter } from "./HookMetrics.ts"
import type { HookClient } from "./Hooks.ts"
import type { PluginHttpServer } from "./PluginHttpServer.ts"

/** The hook's name in errors, whatever a contract calls its rpc. */
const HOOK = "ServeHTTP"

/** A request on its way to a plugin's own server. */
export interface Forwarding {
  /** Ends it, at any time and any number of times. Before both bodies have been sent as a whole, that is the client's leaving. */
  readonly end: () => void
}

/**
 * Sends one request to a plugin's own HTTP server, and tells `onAnswer` as soon as the head of the response is there, or what
 * keeps it from coming; both bodies stream with back-pressure. Whoever calls this ends it, whatever happens, and counts it
 * as in flight until then. It needs no fiber: what passes here passes often.
 *
 * The hook's deadline bounds the plugin's silence before its head: from the end of the request's body, and for what it
 * does not take of that. After the head there is none. Span and metrics are those of the hook, until the head.
 */
export const forward = (
  hooks: HookClient,
  server: PluginHttpServer,
  context: Context.Context<never>,
  request: (traceparent: string | undefined) => DirectRequest,
  onAnswer: (answer: DirectAnswer | HookError) => void,
): Forwarding => {
  const { calls, pluginId } = hooks
  const deadlineMillis = Duration.toMillis(hooks.policy("serveHTTP").deadline)
  const begun = calls.begin("serveHTTP", context)
  if (begun === undefined) {
    onAnswer(calls.suspended("serveHTTP"))
    return { end: () => {} }
  }
  const span = isTraced(context) ? openSpan(begun.meter, context) : undefined
  const ended = (isOpen: boolean) => {
    if (isOpen) Effect.runForkWith(context)(calls.logOpen("serveHTTP"))
  }
  let isOver = false
  const exchange = new Exchange(server, request(span?.traceparent), deadlineMillis, (outcome) => {
    isOver = true
    const error = errorOf(pluginId, deadlineMillis, outcome)
    ended(begun.answered(error))
    span?.end(error === undefined ? Exit.void : Exit.fail(error))
    onAnswer(error ?? (outcome as DirectAnswer))
  })
  exchange.start()
  return {
    end: () => {
      if (!isOver) {
        isOver = true
        ended(begun.interrupted())
        span?.end(Exit.interrupt())
      }
      exchange.end()
    },
  }
}

/** {@link forward} as an effect; the request is ended with the Scope. */
export const forwarded = Effect.fnUntraced(function* (
  hooks: HookClient,
  server: PluginHttpServer,
  request: (traceparent: string | undefined) => DirectRequest,
): Effect.fn.Return<DirectAnswer, HookError, Scope.Scope> {
  yield* hooks.inFlight.hold
  const context = yield* Effect.context()
  let forwarding: Forwarding | undefined
  yield* Effect.addFinalizer(() => Effect.sync(() => forwarding?.end()))
  return yield* Effect.callback<DirectAnswer, HookError>((resume) => {
    forwarding = forward(hooks, server, context, request, (answer) =>
      resume(isHookError(answer) ? Effect.fail(answer) : Effect.succeed(answer)),
    )
    return Effect.sync(forwarding.end)
  })
})

/** Whether something has failed in place of its answer. */
export const isHookError = (answer: unknown): answer is HookError => answer instanceof Error

/** The span of a hook's call that no fiber makes: one holds it open until it is told of the call's end. */
const openSpan = (meter: HookMeter, context: Context.Context<never>) => {
  const opened: { traceparent: string | undefined; end: (exit: Exit.Exit<void, HookError>) => void } = {
    traceparent: undefined,
    end: () => {},
  }
  const held = Effect.flatMap(traceparent, (trace) =>
    Effect.callback<void, HookError>((resume) => {
      opened.traceparent = trace
      opened.end = resume
    }),
  )
  Effect.runForkWith(context)(Effect.exit(meter.traced(held)))
  return opened
}

/** The span that is current, as the plugin is told of it. */
const traceparent: Effect.Effect<string | undefined> = Effect.match(Effect.currentSpan, {
  onFailure: () => undefined,
  onSuccess: (span) => HttpTraceContext.toHeaders(span)["traceparent"],
})

/** What has kept an answer from coming; undefined where one has come. */
const errorOf = (pluginId: string, deadlineMillis: number, outcome: Outcome): HookError | undefined => {
  switch (outcome._tag) {
    case "Response":
    case "Upgraded":
      return undefined
    case "Unreachable":
      return new HookTransportError({
        pluginId,
        hook: HOOK,
        status: (outcome.error as NodeJS.ErrnoException).code ?? "UNAVAILABLE",
        details: outcome.error.message,
      })
    case "Late":
      return new HookDeadlineError({ pluginId, hook: HOOK, deadlineMillis })
    case "Broken":
      return brokenResponse(pluginId, outcome.reason, outcome.statusCode)
  }
}
