import { readFileSync } from "node:fs"
import { Clock, Duration, Effect, Exit } from "effect"
import { HEALTH_DEADLINE } from "../goplugin/Health.ts"
import type { RunEnd } from "./PluginRun.ts"

/** How a plugin is watched for being stopped or deadlocked. Its end is noticed at once in any case. */
export interface HealthOptions {
  /** The pause between two pings. Default {@link HEALTH_INTERVAL}. */
  readonly interval?: Duration.Input | undefined
  /** How long the plugin may take to answer one. Default, and at most, `HEALTH_DEADLINE`: five seconds. */
  readonly deadline?: Duration.Input | undefined
  /** How many pings in a row it may miss without doing anything, before it is ended. Default {@link HEALTH_MISSES}. */
  readonly misses?: number | undefined
}

/** The pause between two pings. */
export const HEALTH_INTERVAL: Duration.Duration = Duration.seconds(10)

/** Pings that a plugin may miss without doing anything: by default three quarters of a minute. */
export const HEALTH_MISSES = 3

/**
 * The share of one processor from which a process is at work. To fail to answer a ping takes far less, and one that gets no
 * more on a crowded machine makes up for that by the time that its misses take.
 */
const AT_WORK = 0.01

/** What a process' time is counted in: less than two of them may be chance. In milliseconds. */
const CLOCK_TICK = 10

/** By how much a round may be longer than it was to be, before the host counts as having slept itself. In milliseconds. */
const LAG = 1000

/** What the monitor sees of a run. */
export interface Watched {
  readonly pluginId: string
  /** Asks the plugin whether it serves; within a bound. */
  readonly ping: Effect.Effect<void, { readonly message: string }>
  /** How many calls the plugin has answered so far. */
  readonly answers: () => number
  /** What the system tells of the process; undefined where it tells nothing. */
  readonly observe: () => Observation | undefined
}

/** What the system tells of a process. */
export interface Observation {
  /** The time that it has computed for, all threads together, in milliseconds. */
  readonly cpuMillis: number
  /** Whether a debugger holds it. */
  readonly isTraced: boolean
}

/**
 * Pings a plugin as long as it is active; completes when it is to be ended. A plugin that is busy is not dead: only one that has
 * missed several pings in a row, has answered no call meanwhile and has hardly computed is. Rounds in which the host itself
 * was late, or in which a debugger holds the process, don't count.
 */
export const monitor = Effect.fnUntraced(function* (
  { answers, observe, ping, pluginId }: Watched,
  options: HealthOptions,
): Effect.fn.Return<RunEnd> {
  const deadline = Duration.fromInputUnsafe(options.deadline ?? HEALTH_DEADLINE)
  const interval = Duration.fromInputUnsafe(options.interval ?? HEALTH_INTERVAL)
  const limit = options.misses ?? HEALTH_MISSES
  const bounded = Effect.timeoutOrElse(ping, {
    duration: deadline,
    orElse: () => Effect.fail({ message: `no answer within ${Duration.format(deadline)}` }),
  })
  const longest = Duration.toMillis(interval) + Duration.toMillis(deadline) + LAG
  const look = Effect.map(Clock.currentTimeMillis, (at) => ({ at, answers: answers(), seen: observe() }))
  let misses = 0
  let before = yield* look
  for (;;) {
    const began = yield* Clock.currentTimeMillis
    yield* Effect.sleep(interval)
    // What it did before the first ping that it misses says nothing of it.
    if (misses === 0) before = yield* look
    const answer = yield* Effect.exit(bounded)
    if (Exit.isSuccess(answer)) {
      misses = 0
      continue
    }
    const now = yield* look
    if (now.at - began > longest || now.seen?.isTraced === true) {
      misses = 0
      continue
    }
    misses++
    if (misses < limit) continue
    const elapsed = now.at - before.at
    const computed = (now.seen?.cpuMillis ?? 0) - (before.seen?.cpuMillis ?? 0)
    const period = `for ${Duration.format(Duration.millis(elapsed))}`
    if (now.answers === before.answers && computed <= Math.max(elapsed * AT_WORK, 2 * CLOCK_TICK)) {
      return {
        _tag: "Unresponsive",
        reason: `has not answered ${misses} health checks in a row, and has done nothing ${period}: it is stopped (SIGSTOP) or deadlocked`,
      }
    }
    yield* Effect.logWarning(
      `plugin ${pluginId} has not answered ${misses} health checks in a row ${period}, but is at work, and is let be`,
    )
    misses = 0
  }
})

/** Looks at a process in /proc. Not at its children: one of them may be at work while it is deadlocked itself. */
export const observe = (pid: number) => (): Observation | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
    // The command, in parentheses, may hold anything. Fields: proc_pid_stat(5), the 14th and the 15th.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    const status = readFileSync(`/proc/${pid}/status`, "latin1")
    return {
      cpuMillis: (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK,
      isTraced: /^TracerPid:\s*[1-9]/m.test(status),
    }
  } catch {
    return undefined
  }
}
