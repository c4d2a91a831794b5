import { type Context, Duration, Effect } from "effect"
import { HttpTraceContext } from "effect/http"
import { type DirectAnswer, type DirectRequest, Exchange, type Outcome } from "./Exchange.ts"
import { brokenResponse, HookDeadlineError, type HookError, HookTransportError } from "./HookError.ts"
import { failedOutcome, INTERRUPTED, isTraced, meterOf } from "./HookMetrics.ts"
import { hookName } from "./HookName.ts"
import type { HookClient } from "./Hooks.ts"
import type { PluginHttpServer } from "./PluginOffers.ts"

const HOOK = hookName("serveHTTP")

/**
 * Sends one request to a plugin's own HTTP server and answers as soon as the head of the response is there; both bodies
 * stream with back-pressure. Whoever is told of the exchange by `onBegin` ends it, whatever happens, and counts it as in
 * flight until then: to end it before both bodies have been sent as a whole tells the plugin that the client is gone.
 *
 * The hook's deadline bounds the plugin's silence before its head: from the end of the request's body, and for what it
 * does not take of that. After the head there is none. Span and metrics are those of the hook, until the head.
 */
export const forward = (
  hooks: HookClient,
  server: PluginHttpServer,
  request: (traceparent: string | undefined) => DirectRequest,
  onBegin: (exchange: Exchange) => void,
): Effect.Effect<DirectAnswer, HookError> => {
  const meter = meterOf(hooks.pluginId, HOOK)
  const deadlineMillis = Duration.toMillis(hooks.policy("serveHTTP").deadline)
  const ask = (context: Context.Context<never>, traceparent?: string) =>
    Effect.callback<DirectAnswer, HookError>((resume) => {
      const count = meter.begin(context)
      const exchange = new Exchange(server, request(traceparent), deadlineMillis, (outcome) => {
        const error = errorOf(hooks.pluginId, deadlineMillis, outcome)
        count(error === undefined ? "ok" : failedOutcome(error))
        resume(error === undefined ? Effect.succeed(outcome as DirectAnswer) : Effect.fail(error))
      })
      onBegin(exchange)
      exchange.start()
      return Effect.sync(() => count(INTERRUPTED))
    })
  return Effect.contextWith((context: Context.Context<never>) =>
    isTraced(context) ? meter.traced(Effect.flatMap(traceparent, (trace) => ask(context, trace))) : ask(context),
  )
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
