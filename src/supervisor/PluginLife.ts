import { Schema } from "effect"

/** Where a plugin is in its life. The names are Mattermost's, but for `Restarting`. */
export const PluginStateName = Schema.Literals([
  "NotRunning",
  "Starting",
  "Running",
  /** It has ended unexpectedly, or a reload has stopped it, and it is started again soon. */
  "Restarting",
  "FailedToStart",
  "FailedToStayRunning",
  "Stopping",
])
export type PluginStateName = typeof PluginStateName.Type

/** Why a plugin has ended unexpectedly, or could not be started. */
export interface Failure {
  /** When, in milliseconds since the epoch. */
  readonly at: number
  readonly reason: string
  /** How the process has ended, if it has: `exit code 1`, `signal SIGKILL`. */
  readonly exit?: string | undefined
  /** The last lines that it wrote to stderr, oldest first. */
  readonly stderr: ReadonlyArray<string>
}

/** A plugin's state. */
export interface PluginState {
  readonly name: PluginStateName
  /** When it came into this state, in milliseconds since the epoch. */
  readonly since: number
  /** What went wrong, in the states that tell of a failure. */
  readonly error?: string | undefined
  /** When it is tried again, in milliseconds since the epoch; absent where nobody will. */
  readonly nextTry?: number | undefined
  /** How often it was started again by itself since an operator has started it. */
  readonly restarts: number
  /** The last failure since an operator has started it, also when it is running again. */
  readonly lastFailure?: Failure | undefined
  /** Whether it is stopped and started by a reload, because it must not run twice: requests for it may wait. */
  readonly isReloading?: boolean | undefined
}

/** The state of a plugin that nobody has started. */
export const NOT_RUNNING: PluginState = { name: "NotRunning", since: 0, restarts: 0 }

/**
 * What happens to a plugin: it is told to `start` or to `stop`; the start has succeeded (`started`) or not (`failed`); its
 * run has ended without being told to and another is begun soon (`retry`), is being begun already (`replaced`), or is not
 * begun soon (`ended`); what was to be stopped is gone (`stopped`).
 */
export type LifeEvent = "start" | "started" | "failed" | "retry" | "replaced" | "ended" | "stop" | "stopped"

/**
 * What each event makes of each state. An event that a state does not have changes nothing: the end of a run that is being
 * stopped is no failure, and a failure is not hidden by stopping what is left.
 */
export const TRANSITIONS: {
  readonly [S in PluginStateName]: { readonly [E in LifeEvent]?: PluginStateName }
} = {
  NotRunning: { start: "Starting" },
  Starting: {
    started: "Running",
    failed: "FailedToStart",
    retry: "Restarting",
    ended: "FailedToStayRunning",
    stop: "Stopping",
  },
  // Started while it runs: another run has taken the place of the one before.
  Running: {
    started: "Running",
    retry: "Restarting",
    replaced: "Starting",
    ended: "FailedToStayRunning",
    stop: "Stopping",
  },
  Restarting: { start: "Starting", stop: "Stopping" },
  FailedToStart: { start: "Starting" },
  FailedToStayRunning: { start: "Starting" },
  Stopping: { stopped: "NotRunning" },
}

/** What there is to tell of an event. Of what is absent only the restarts and the last failure stay as they were. */
export type Told = Partial<Omit<PluginState, "name" | "since">>

/** The state after an event; the same one, if it changes nothing. */
export const after = (state: PluginState, event: LifeEvent, now: number, told: Told = {}): PluginState => {
  const name = TRANSITIONS[state.name][event]
  if (name === undefined) return state
  const { lastFailure, restarts } = state
  return { restarts, ...(lastFailure === undefined ? {} : { lastFailure }), ...told, name, since: now }
}
