import { Context, Effect, Schema } from "effect"
import { coerce, lt } from "semver"
import type { Manifest } from "../bundle/Manifest.ts"

/**
 * The version of the host that plugins' `min_server_version` is compared with. By default a host has none, and starts
 * every plugin.
 */
export const ServerVersion = Context.Reference<string | undefined>("effect-plugin-supervisor/command/ServerVersion", {
  defaultValue: () => undefined,
})

/** A plugin needs a later host. */
export class ServerVersionError extends Schema.TaggedError<ServerVersionError>()("ServerVersionError", {
  pluginId: Schema.String,
  /** The manifest's `min_server_version`. */
  needed: Schema.String,
  /** The host's. */
  version: Schema.String,
}) {
  override get message(): string {
    return `plugin ${this.pluginId} needs the host's version ${this.needed} or later (min_server_version), and this one is ${this.version}; update the host, or install a version of the plugin that is for it`
  }
}

/**
 * Refuses a plugin that needs a later host (Mattermost, `Manifest.MeetMinServerVersion`). Of the host's version only the
 * three numbers count, since Mattermost's has no others: a release candidate starts what is made for the release.
 */
export const checkServerVersion = (
  { id, min_server_version: needed = "" }: Manifest,
  version: string | undefined,
): Effect.Effect<void, ServerVersionError> => {
  if (needed === "" || version === undefined) return Effect.void
  const own = coerce(version)
  return own === null || lt(own, needed)
    ? Effect.fail(new ServerVersionError({ pluginId: id, needed, version }))
    : Effect.void
}
