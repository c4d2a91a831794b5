import type { PluginStateName } from "../supervisor/PluginLife.ts"

/** The numbers that stand for the states in Mattermost's REST API. */
export const STATE_NUMBER: { readonly [K in PluginStateName]: number } = {
  NotRunning: 0,
  Starting: 1,
  Running: 2,
  FailedToStart: 3,
  FailedToStayRunning: 4,
  Stopping: 5,
}
