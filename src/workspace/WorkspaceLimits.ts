import { Context } from "effect"

/** What an operator may set of what the workspace takes. */
export interface WorkspaceLimitsValues {
  /** Characters of a post's props as JSON. Default 800,000 (Mattermost). */
  readonly postProps: number
  /** Bytes of a value in a plugin's key-value store. Default 8 MiB: it goes through the host's memory whole. */
  readonly keyValue: number
  /** Bytes of a plugin's settings as JSON. Default 1 MiB. */
  readonly pluginSettings: number
  /** Things on one page of a list, or ids in one request. Default 10,000; a request for more is refused. */
  readonly pageItems: number
  /** Slash commands of one plugin. Default 500. */
  readonly commands: number
}

/** The bounds of what the workspace takes. Provide another value of the reference to change them. */
export const WorkspaceLimits = Context.Reference<WorkspaceLimitsValues>(
  "effect-plugin-supervisor/workspace/WorkspaceLimits",
  {
    defaultValue: () => ({
      postProps: 800_000,
      keyValue: 8 * 1024 * 1024,
      pluginSettings: 1024 * 1024,
      pageItems: 10_000,
      commands: 500,
    }),
  },
)

/**
 * The largest post, in bytes on the wire. Plugins that are asked about an update are handed two, and gRPC's
 * implementations receive 4 MiB unless they are told otherwise: a plugin that can't receive what it has to decide
 * about is passed over.
 */
export const MAX_POST_BYTES = 1024 * 1024

/** The largest user, team, channel or command, in bytes on the wire; they are small, and come in lists. */
export const MAX_RECORD_BYTES = 64 * 1024

/**
 * The settings of all plugins together, in bytes of JSON. Whoever has to agree to a configuration is handed all of
 * them (see {@link MAX_POST_BYTES}).
 */
export const MAX_ALL_SETTINGS_BYTES = 3 * 1024 * 1024

/**
 * The posts of one answer, in bytes: they go through memory whole. A page of the default size (60) always fits, since
 * it is 60 times {@link MAX_POST_BYTES} at most.
 */
export const MAX_LIST_BYTES = 64 * 1024 * 1024

/** The posts that plugins are asked about at once, in bytes (see {@link MAX_POST_BYTES}). */
export const MAX_CONSUMED_BYTES = 2 * 1024 * 1024

/**
 * Times in milliseconds end with the year 9999, as Python's do. What is beyond are seconds or nanoseconds by mistake.
 */
export const MAX_TIME = 253_402_300_799_999n
