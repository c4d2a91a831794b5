import { Effect, Metric, type Scope } from "effect"

/**
 * How many requests of one plugin may be in flight at once. Each holds up to some hundred kilobytes on its way (grpc-js'
 * window, Node's buffers); a plugin whose handlers hang holds so many and no more. Server-sent events stay in flight while
 * they are watched, so a host with many watchers sets more.
 */
export const MAX_REQUESTS_IN_FLIGHT = 256

/** Requests that a plugin is serving, by `plugin`. */
const inFlight = Metric.gauge("plugin_http_requests_in_flight", {
  description: "HTTP requests that a plugin has not answered as a whole yet",
})

/** Counts the requests of each plugin. */
export const makeRequestLimit = (maxInFlight: number) => {
  const counts = new Map<string, number>()
  const add = (id: string, by: 1 | -1) =>
    Effect.suspend(() => {
      const count = (counts.get(id) ?? 0) + by
      if (count === 0) counts.delete(id)
      else counts.set(id, count)
      return Metric.update(Metric.withAttributes(inFlight, { plugin: id }), count)
    })
  /** Takes a place for the Scope's length; answers whether there was one. */
  return (id: string): Effect.Effect<boolean, never, Scope.Scope> =>
    Effect.suspend(() =>
      (counts.get(id) ?? 0) >= maxInFlight
        ? Effect.succeed(false)
        : Effect.as(
            Effect.acquireRelease(add(id, 1), () => add(id, -1)),
            true,
          ),
    )
}
