import type { PluginStateName } from "../supervisor/PluginLife.ts"

/** The numbers that stand for the states in Mattermost's REST API, which knows no restarts: they are starts. */
export const STATE_NUMBER: { readonly [K in PluginStateName]: number } = {
  NotRunning: 0,
  Starting: 1,
  Running: 2,
  Restarting: 1,
  FailedToStart: 3,
  FailedToStayRunning: 4,
  Stopping: 5,
}
