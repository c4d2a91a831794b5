/** Processor time and memory of processes, as /proc tells of them (Linux). */
import { readdirSync, readFileSync } from "node:fs"
import { Effect } from "effect"
import { proportional, scan } from "../../src/process/ProcessTable.ts"

export const MIB = 1024 * 1024

/** In how many parts the kernel tells a second of processor time. */
const TICKS = 100

/** Processor time of a process so far, in seconds. */
export interface ProcessorTime {
  readonly own: number
  /** Of the children that have ended, and of theirs. */
  readonly ended: number
}

export const processorTime = (pid: number | "self"): ProcessorTime => {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
  // The command, in parentheses, may hold anything. Fields: proc_pid_stat(5), from the 14th.
  const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 15)
    .map(Number)
  return { own: (user + system) / TICKS, ended: (endedUser + endedSystem) / TICKS }
}

/**
 * For how long the threads of a process have run that it has now, in seconds. Exact, where the ticks count one that runs for a moment
 * as not at all or, if a timer wakes it, as a whole tick.
 */
const ran = (pid: number): number => {
  // Nanoseconds on a processor come first: proc_schedstat in the kernel's documentation.
  const times = readdirSync(`/proc/${pid}/task`).map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1").split(" ", 1)[0]),
  )
  return times.reduce((total, value) => total + value, 0) / 1e9
}

/** What a host and its plugins have used so far. */
export interface Usage {
  /** Processor time in seconds: the host's own, and that of its plugins and of what it has started for a moment. */
  readonly hostTime: number
  readonly pluginsTime: number
  /** For how long, in seconds, the threads that they have now have run. */
  readonly hostRan: number
  readonly pluginsRan: number
  /** Memory in bytes: what the host has in use, and what its plugins have, of which what is shared counts once. */
  readonly hostMemory: number
  readonly pluginsMemory: number
  readonly plugins: number
}

export const usage = Effect.fnUntraced(function* (host: number): Effect.fn.Return<Usage, Error> {
  const entries = yield* scan
  const hostEntry = entries?.find(({ pid }) => pid === host)
  if (entries === undefined || hostEntry === undefined)
    return yield* Effect.fail(new Error("/proc does not show the host"))
  // Its watchdog has no marker.
  const plugins = entries.filter(({ marker, parent }) => parent === host && marker !== undefined)
  const { ended, own } = processorTime(host)
  const sum = (values: ReadonlyArray<number>) => values.reduce((total, value) => total + value, 0)
  const times = plugins.map(({ pid }) => processorTime(pid))
  return {
    hostTime: own,
    pluginsTime: ended + sum(times.map(({ ended, own }) => ended + own)),
    hostRan: ran(host),
    pluginsRan: sum(plugins.map(({ pid }) => ran(pid))),
    hostMemory: hostEntry.resident,
    pluginsMemory: sum(plugins.map(proportional)),
    plugins: plugins.length,
  }
})
