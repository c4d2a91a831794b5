import { Effect, Option } from "effect"
import { PluginApiError } from "../api/PluginApi.ts"

/**
 * How often something is tried anew that others have changed while the plugins were asked about it. Each time one of
 * those others has got through, so whoever fails that often had as many beside it.
 */
export const MAX_ATTEMPTS = 10

/**
 * Stores what the plugins have agreed to, and nothing else. `attempt` reads, asks, and stores unless somebody has
 * changed meanwhile what was asked about: then it answers `None` and is run anew. Fails (409) when that happens
 * {@link MAX_ATTEMPTS} times.
 */
export const undisturbed = <A, E, R>(
  what: string,
  attempt: Effect.Effect<Option.Option<A>, E, R>,
): Effect.Effect<A, E | PluginApiError, R> =>
  Effect.repeat(attempt, { until: Option.isSome, times: MAX_ATTEMPTS - 1 }).pipe(
    Effect.flatMap((last) =>
      Effect.fromOption(
        last,
        () =>
          new PluginApiError({
            id: "app.workspace.conflict.app_error",
            message: `Others have changed the ${what} each time that it was about to be stored; try again`,
            statusCode: 409,
          }),
      ),
    ),
  )
