import { Effect, Schema } from "effect"
import * as semver from "semver"

/** An older version would take the place of a newer one. */
export class DowngradeError extends Schema.TaggedError<DowngradeError>()("DowngradeError", {
  pluginId: Schema.String,
  /** The version that is installed. */
  current: Schema.String,
  /** The one that was to be installed. */
  next: Schema.String,
}) {
  override get message(): string {
    return `the plugin ${this.pluginId} is installed in version ${this.current}, which is newer than ${this.next}; what it has stored may be unreadable for the older one; if you mean it, force the install (--force, force=true)`
  }
}

/**
 * Refuses an older version than the installed one, unless it is forced: a signature says who made a version, and not that
 * it is the one without a hole that was found since. Bundles without a version can't be compared, and pass.
 */
export const refuseDowngrade = (
  pluginId: string,
  current: string | undefined,
  next: string | undefined,
  options: { readonly force?: boolean | undefined } = {},
): Effect.Effect<void, DowngradeError> =>
  options.force !== true && current && next && semver.lt(next, current)
    ? Effect.fail(new DowngradeError({ pluginId, current, next }))
    : Effect.void
