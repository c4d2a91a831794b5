import { Effect, Metric, type Scope } from "effect"

/**
 * How many requests of one plugin may be in flight at once. Each holds up to some hundred kilobytes on its way, and by gRPC
 * up to a MiB more (`FLOW_CONTROL_WINDOW`); a plugin whose handlers hang holds so many and no more. Server-sent events and
 * WebSockets stay in flight while they are open, so a host with many watchers sets more.
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
  const counts = new Map<string, { count: number; readonly gauge: typeof inFlight }>()
  const countOf = (plugin: string) => {
    const known = counts.get(plugin)
    if (known !== undefined) return known
    const made = { count: 0, gauge: Metric.withAttributes(inFlight, { plugin }) }
    counts.set(plugin, made)
    return made
  }
  return (plugin) => {
    const place = countOf(plugin)
    const add = (by: 1 | -1) => Effect.suspend(() => Metric.update(place.gauge, (place.count += by)))
    return Effect.acquireRelease(
      Effect.suspend(() => (place.count < maxInFlight ? Effect.as(add(1), true) : Effect.succeed(false))),
      (isTaken) => (isTaken ? add(-1) : Effect.void),
    )
  }
}
