import { Context } from "effect"

/** What an operator may set of what is stored for plugins. */
export interface StorageLimitsValues {
  /**
   * Bytes of a value. Default 8 MiB: it goes through the host's memory whole. PostgreSQL's client has a limit of its
   * own for what it receives (`maxMessageSize`, 16 MiB unless it is set).
   */
  readonly value: number
  /** Bytes of a plugin's settings as JSON. Default 1 MiB. */
  readonly settings: number
}

/** The bounds of what is stored for plugins. Provide another value of the reference to change them. */
export const StorageLimits = Context.Reference<StorageLimitsValues>("effect-plugin-supervisor/storage/StorageLimits", {
  defaultValue: () => ({ value: 8 * 1024 * 1024, settings: 1024 * 1024 }),
})
