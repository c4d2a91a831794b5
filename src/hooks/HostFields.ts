import { type Context, Effect } from "effect"
import { HttpTraceContext } from "effect/http"
import type { Field } from "./HeaderRules.ts"
import { isTraced } from "./HookMetrics.ts"

/** What the host tells a plugin's own HTTP server of a request. */
export interface HostFacts {
  readonly requestId: string
  /** The target with `/plugins/{id}` before it. */
  readonly requestUri: string
  /** The address and port of whoever has connected; IPv6 in brackets. */
  readonly peer: string
  /** `HTTP/1.1`: the client's. */
  readonly protocol: string
}

/**
 * The last fields of a request's head to a plugin's own HTTP server. Names that begin with `Plugin-Supervisor-` are the
 * host's alone; our SDK reads them. `traceparent` is the host's where somebody listens to spans: else a client's own goes on.
 */
export const hostFields = ({ peer, protocol, requestId, requestUri }: HostFacts): Effect.Effect<ReadonlyArray<Field>> =>
  Effect.map(traceparent, (trace) => [
    ["Plugin-Supervisor-Request-Id", requestId],
    ["Plugin-Supervisor-Target", requestUri],
    ["Plugin-Supervisor-Client", peer],
    ["Plugin-Supervisor-Protocol", protocol],
    ...(trace === undefined ? [] : [["traceparent", trace] as const]),
  ])

const traceparent: Effect.Effect<string | undefined> = Effect.contextWith((context: Context.Context<never>) =>
  isTraced(context)
    ? Effect.match(Effect.currentSpan, {
        onFailure: () => undefined,
        onSuccess: (span) => HttpTraceContext.toHeaders(span)["traceparent"],
      })
    : Effect.undefined,
)
