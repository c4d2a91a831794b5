import { Effect } from "effect"

/**
 * Carries out a command by a module that is loaded only then: the host takes longer to load than most commands take, and these
 * do without.
 */
export const lazily =
  <I, A, E, R>(load: () => Promise<{ readonly run: (input: I) => Effect.Effect<A, E, R> }>) =>
  (input: I): Effect.Effect<A, E, R> =>
    Effect.flatMap(Effect.promise(load), ({ run }) => run(input))
