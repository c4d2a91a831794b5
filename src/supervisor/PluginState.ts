import { Schema } from "effect"

/** Where a plugin is in its life. The names, and the numbers in {@link STATE_NUMBER}, are Mattermost's. */
export const PluginStateName = Schema.Literals([
  "NotRunning",
  "Starting",
  "Running",
  "FailedToStart",
  "FailedToStayRunning",
  "Stopping",
])
export type PluginStateName = typeof PluginStateName.Type

/** A plugin's state. */
export interface PluginState {
  readonly name: PluginStateName
  /** When it came into this state, in milliseconds since the epoch. */
  readonly since: number
  /** What went wrong, in the states that tell of a failure. */
  readonly error?: string | undefined
}

/** The numbers that stand for the states in Mattermost's REST API. */
export const STATE_NUMBER: { readonly [K in PluginStateName]: number } = {
  NotRunning: 0,
  Starting: 1,
  Running: 2,
  FailedToStart: 3,
  FailedToStayRunning: 4,
  Stopping: 5,
}
