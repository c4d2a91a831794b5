import { Clock, Duration, Effect, Schedule } from "effect"
import type { HandshakeError } from "../goplugin/Handshake.ts"
import type { PluginStartError } from "./PluginRun.ts"

/** How a plugin that ends unexpectedly, or can't be started, is started again. */
export interface RestartOptions {
  /** The wait before the first restart; each further one waits twice as long. Default {@link RESTART_DELAY}. */
  readonly delay?: Duration.Input | undefined
  /** The longest wait before a restart of the budget. Default {@link RESTART_MAX_DELAY}. */
  readonly maxDelay?: Duration.Input | undefined
  /** How many restarts there are before the plugin counts as failed. Default {@link RESTART_BUDGET}. */
  readonly budget?: number | undefined
  /** How long a plugin has to be active until its budget is full again. Default {@link STABLE_AFTER}. */
  readonly stableAfter?: Duration.Input | undefined
  /** How often a plugin that counts as failed is tried all the same; `false`: not at all. Default {@link RETRY_EVERY}. */
  readonly retryEvery?: Duration.Input | false | undefined
}

/** The wait before the first restart. */
export const RESTART_DELAY: Duration.Duration = Duration.seconds(1)

/** The longest wait before a restart of the budget. */
export const RESTART_MAX_DELAY: Duration.Duration = Duration.minutes(1)

/** Restarts before a plugin counts as failed: by the default delays the sixth is made after a minute. */
export const RESTART_BUDGET = 6

/**
 * How long a plugin has to be active until its budget is full again: longer than all waits of the budget take together, so
 * that one which crashes soon after each of them does not go on for ever.
 */
export const STABLE_AFTER: Duration.Duration = Duration.minutes(2)

/** How often a plugin that counts as failed is tried: what it lacked, a database for example, may be there again. */
export const RETRY_EVERY: Duration.Duration = Duration.minutes(5)

/** What becomes of a plugin that has failed: it is tried again after a wait, in milliseconds, or not. */
export type Decision =
  /** It restarts. */
  | { readonly _tag: "Soon"; readonly millis: number }
  /** It counts as failed, and is tried all the same. */
  | { readonly _tag: "Later"; readonly millis: number }
  /** Somebody has to do something. */
  | { readonly _tag: "Never" }

/** Waits that grow by a factor up to a bound. They differ by up to a fifth, so that plugins don't come all at once. */
const waits = (first: Duration.Input, factor: number, longest: Duration.Input) =>
  Schedule.exponential(first, factor).pipe(
    Schedule.modifyDelay(({ duration }) => Effect.succeed(Duration.min(duration, Duration.fromInputUnsafe(longest)))),
    Schedule.jittered,
    Schedule.toStep,
  )

/** A plugin's restarts since an operator has started it. */
export interface Restarts {
  /** It has failed, after it was active for so long; 0 for one that could not be started. */
  readonly failed: (activeMillis: number) => Effect.Effect<Decision>
  /** The budget is full again: an operator has started the plugin. */
  readonly reset: Effect.Effect<void>
}

/**
 * Counts one plugin's restarts. They are counted from the last time that it was stable, and not within a window of time, from
 * which long waits would slip out. A `Schedule` can't be set back by what it waits for, so there is a new one each time.
 */
export const make = (options: RestartOptions): Restarts => {
  const { budget = RESTART_BUDGET, delay = RESTART_DELAY, maxDelay = RESTART_MAX_DELAY } = options
  const { retryEvery = RETRY_EVERY, stableAfter = STABLE_AFTER } = options
  const soon = waits(delay, 2, maxDelay)
  const later = retryEvery === false ? undefined : waits(retryEvery, 1, retryEvery)
  let used = 0
  let step: Effect.Success<typeof soon> | undefined
  const reset = Effect.sync(() => {
    used = 0
    step = undefined
  })
  const wait = (next: Effect.Success<typeof soon>) =>
    Clock.currentTimeMillis.pipe(
      Effect.flatMap((now) => next(now, undefined)),
      Effect.map(([, duration]) => Math.round(Duration.toMillis(duration))),
      // These schedules have no end.
      Effect.orDie,
    )
  return {
    reset,
    failed: Effect.fnUntraced(function* (activeMillis): Effect.fn.Return<Decision> {
      if (activeMillis >= Duration.toMillis(Duration.fromInputUnsafe(stableAfter))) yield* reset
      if (used < budget) {
        used++
        step ??= yield* soon
        return { _tag: "Soon", millis: yield* wait(step) }
      }
      return later === undefined ? { _tag: "Never" } : { _tag: "Later", millis: yield* wait(yield* later) }
    }),
  }
}

/** What of a start may be otherwise the next time. The rest is the plugin's, or the host's, as it is configured. */
const PASSING: ReadonlySet<HandshakeError["kind"]> = new Set(["timeout", "exited", "unhealthy"])

/** Whether a start that has failed by this may succeed without anybody doing anything. */
export const mayPass = (error: PluginStartError): boolean => {
  switch (error._tag) {
    case "HandshakeError":
      return PASSING.has(error.kind)
    case "PluginSpawnError":
      return /\b(EAGAIN|ENOMEM|EMFILE|ENFILE|ETXTBSY)\b/.test(error.reason)
    case "PluginExitedError":
    case "RpcServerError":
    case "SocketDirectoryError":
    case "HookTransportError":
    case "HookDeadlineError":
    case "HookPluginError":
    case "HookNotImplementedError":
    case "HookSuspendedError":
      return true
    // No command can be made of the bundle, or the host is not for it, or it was stopped.
    default:
      return false
  }
}
