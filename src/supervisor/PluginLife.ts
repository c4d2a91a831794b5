import { Schema } from "effect"

/** Where a plugin is in its life. The names are Mattermost's. */
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

/**
 * What happens to a plugin: it is told to `start` or to `stop`; the start has succeeded (`started`) or not (`failed`); its
 * run has ended without being told to (`ended`); what was to be stopped is gone (`stopped`).
 */
export type LifeEvent = "start" | "started" | "failed" | "ended" | "stop" | "stopped"

/**
 * What each event makes of each state. An event that a state does not have changes nothing: the end of a run that is being
 * stopped is no failure, and a failure is not hidden by stopping what is left.
 */
export const TRANSITIONS: {
  readonly [S in PluginStateName]: { readonly [E in LifeEvent]?: PluginStateName }
} = {
  NotRunning: { start: "Starting" },
  Starting: { started: "Running", failed: "FailedToStart", stop: "Stopping" },
  Running: { ended: "FailedToStayRunning", stop: "Stopping" },
  FailedToStart: { start: "Starting" },
  FailedToStayRunning: { start: "Starting" },
  Stopping: { stopped: "NotRunning" },
}

/** The state after an event; the same one, if it changes nothing. `error` says what went wrong, where something did. */
export const after = (state: PluginState, event: LifeEvent, now: number, error?: string): PluginState => {
  const name = TRANSITIONS[state.name][event]
  return name === undefined ? state : { name, since: now, error }
}
