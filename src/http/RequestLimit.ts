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

/** Counts the requests of each plugin: takes a place for the Scope's length, and answers whether there was one. */
export const makeRequestLimit = (
  maxInFlight: number,
): ((pluginId: string) => Effect.Effect<boolean, never, Scope.Scope>) => {
  const counts = new Map<string, number>()
  const add = (plugin: string, by: 1 | -1) => {
    const count = (counts.get(plugin) ?? 0) + by
    counts.set(plugin, count)
    return Metric.update(Metric.withAttributes(inFlight, { plugin }), count)
  }
  return (plugin) =>
    Effect.acquireRelease(
      Effect.suspend(() =>
        (counts.get(plugin) ?? 0) < maxInFlight ? Effect.as(add(plugin, 1), true) : Effect.succeed(false),
      ),
      (isTaken) => Effect.suspend(() => (isTaken ? add(plugin, -1) : Effect.void)),
    )
}
