import { Effect } from "effect"

/**
 * How many requests of one plugin may be in flight at once. Each holds up to some hundred kilobytes on its way, and by gRPC
 * up to a MiB more (`FLOW_CONTROL_WINDOW`); a plugin whose handlers hang holds so many and no more. Server-sent events and
 * WebSockets stay in flight while they are open, so a host with many watchers sets more.
 */
export const MAX_REQUESTS_IN_FLIGHT = 256

/** Bounds how many requests of each plugin are in flight, whichever way they go. */
export interface RequestLimit {
  /** Counts a request until what is answered is called; undefined where there are too many of the plugin's. */
  readonly enter: (pluginId: string) => (() => void) | undefined
  /** Counts a request while it runs; where there are too many of the plugin's, `full` runs in its place. */
  readonly within: <A, E, R, A2, E2, R2>(
    pluginId: string,
    request: Effect.Effect<A, E, R>,
    full: Effect.Effect<A2, E2, R2>,
  ) => Effect.Effect<A | A2, E | E2, R | R2>
}

/** Counts from nothing. `onFirst` is told of each plugin once, with what answers how many requests it has. */
export const makeRequestLimit = (
  maxInFlight: number,
  onFirst: (pluginId: string, count: () => number) => void = () => {},
): RequestLimit => {
  const counts = new Map<string, { count: number; readonly leave: () => void }>()
  const countOf = (pluginId: string) => {
    const known = counts.get(pluginId)
    if (known !== undefined) return known
    const made = { count: 0, leave: () => void made.count-- }
    counts.set(pluginId, made)
    onFirst(pluginId, () => made.count)
    return made
  }
  const enter = (pluginId: string) => {
    const place = countOf(pluginId)
    if (place.count >= maxInFlight) return undefined
    place.count++
    return place.leave
  }
  return {
    enter,
    within: <A, E, R, A2, E2, R2>(pluginId: string, request: Effect.Effect<A, E, R>, full: Effect.Effect<A2, E2, R2>) =>
      Effect.uninterruptibleMask((restore): Effect.Effect<A | A2, E | E2, R | R2> => {
        const leave = enter(pluginId)
        return leave === undefined ? restore(full) : Effect.ensuring(restore(request), Effect.sync(leave))
      }),
  }
}
