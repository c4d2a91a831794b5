import { Effect, Latch, Scope } from "effect"

/** What a plugin is at work on: calls of its hooks and HTTP requests. */
export interface InFlight {
  /** How much it is now. */
  readonly count: () => number
  /** Counts something until what is answered is called. */
  readonly enter: () => () => void
  /** Counts something until the Scope closes: a request goes on when its head has been answered. */
  readonly hold: Effect.Effect<void, never, Scope.Scope>
  /** Counts a stream that has no end of its own among what `endStreams` ends by `end`, until what is answered is called. */
  readonly stream: (end: () => void) => () => void
  /** Ends all streams that are open, and those that begin from now on. */
  readonly endStreams: Effect.Effect<void>
  /** Waits until nothing is left. Who calls this sees to it that nothing new begins, and bounds the wait. */
  readonly idle: Effect.Effect<void>
}

/** Counts what one run of a plugin is at work on. */
export const make = (): InFlight => {
  let count = 0
  const isIdle = Latch.makeUnsafe(true)
  const leaveNow = () => {
    if (--count === 0) isIdle.openUnsafe()
  }
  const enterNow = () => {
    if (count++ === 0) isIdle.closeUnsafe()
    return leaveNow
  }
  const streams = new Set<() => void>()
  let isEndingStreams = false
  const enter = Effect.sync(enterNow)
  const leave = Effect.sync(leaveNow)
  return {
    count: () => count,
    enter: enterNow,
    // `acquireRelease` would have `leave` run with the services of here, and copy them for that.
    hold: Effect.uninterruptible(
      Effect.flatMap(Effect.scope, (scope) => Effect.andThen(enter, Scope.addFinalizer(scope, leave))),
    ),
    stream: (end) => {
      if (isEndingStreams) end()
      else streams.add(end)
      return () => void streams.delete(end)
    },
    endStreams: Effect.sync(() => {
      isEndingStreams = true
      for (const end of streams) end()
    }),
    idle: isIdle.await,
  }
}
