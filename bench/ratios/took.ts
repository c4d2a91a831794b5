/** What calls take, from a program that has so many of them in flight. */
import { Effect } from "effect"
import { median } from "../measure.ts"

/** In milliseconds. */
export interface Took {
  /** All calls. */
  readonly total: number
  /** The call in the middle. */
  readonly p50: number
}

/** Calls so often; as the reference does, each of so many workers calls again when it has its answer. */
export const took = <E, R>(
  call: Effect.Effect<unknown, E, R>,
  count: number,
  inFlight: number,
): Effect.Effect<Took, E, R> =>
  Effect.suspend(() => {
    const times: Array<number> = []
    let left = count
    const worker = Effect.gen(function* () {
      while (left-- > 0) {
        const called = performance.now()
        yield* call
        times.push(performance.now() - called)
      }
    })
    const began = performance.now()
    return Effect.forEach(Array.from({ length: inFlight }), () => worker, {
      concurrency: inFlight,
      discard: true,
    }).pipe(Effect.map(() => ({ total: performance.now() - began, p50: median(times) })))
  })
