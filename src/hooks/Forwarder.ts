import { Duration, Effect, Scope } from "effect"
import { type DirectAnswer, type DirectRequest, Exchange, type Outcome } from "./Exchange.ts"
import { brokenResponse, HookDeadlineError, type HookError, HookTransportError } from "./HookError.ts"
import { measured } from "./HookMetrics.ts"
import { hookName } from "./HookName.ts"
import type { HookClient } from "./Hooks.ts"
import type { PluginHttpServer } from "./PluginOffers.ts"

const HOOK = hookName("serveHTTP")

/**
 * Sends one request to a plugin's own HTTP server and answers as soon as the head of the response is there; both bodies
 * stream with back-pressure. Closing the Scope ends the request, unless both bodies have been sent as a whole, which tells
 * the plugin that the client is gone.
 *
 * The hook's deadline bounds the plugin's silence before its head: from the end of the request's body, and for what it
 * does not take of that. After the head there is none. Span and metrics are those of the hook, until the head.
 */
export const forward = (
  hooks: HookClient,
  server: PluginHttpServer,
  request: Effect.Effect<DirectRequest>,
): Effect.Effect<DirectAnswer, HookError, Scope.Scope> =>
  measured(hooks.pluginId, HOOK, exchange(hooks, server, request))

const exchange = Effect.fnUntraced(function* (
  hooks: HookClient,
  server: PluginHttpServer,
  request: Effect.Effect<DirectRequest>,
): Effect.fn.Return<DirectAnswer, HookError, Scope.Scope> {
  yield* hooks.inFlight.hold
  const { pluginId } = hooks
  const deadlineMillis = Duration.toMillis(hooks.policy("serveHTTP").deadline)
  const asked = yield* request
  let exchange: Exchange | undefined
  yield* Scope.addFinalizer(
    yield* Effect.scope,
    Effect.sync(() => exchange?.end()),
  )
  const outcome = yield* Effect.callback<Outcome>((resume) => {
    exchange = new Exchange(server, asked, deadlineMillis, (outcome) => resume(Effect.succeed(outcome)))
    exchange.start()
  })
  switch (outcome._tag) {
    case "Response":
    case "Upgraded":
      return outcome
    case "Unreachable":
      return yield* new HookTransportError({
        pluginId,
        hook: HOOK,
        status: (outcome.error as NodeJS.ErrnoException).code ?? "UNAVAILABLE",
        details: outcome.error.message,
      })
    case "Late":
      return yield* new HookDeadlineError({ pluginId, hook: HOOK, deadlineMillis })
    case "Broken":
      return yield* brokenResponse(pluginId, outcome.reason, outcome.statusCode)
  }
})
