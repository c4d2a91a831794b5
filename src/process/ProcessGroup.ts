import { readdir, readFile } from "node:fs/promises"
import { Duration, Effect, Schedule } from "effect"

/** How often a dying group is looked at; death is usually a matter of milliseconds. */
const POLL_INTERVAL = Duration.millis(10)

/** Signals every process of a group; a group that is gone is no error. */
export const signalGroup = (pgid: number, signal: NodeJS.Signals): Effect.Effect<void> =>
  Effect.ignore(Effect.try(() => process.kill(-pgid, signal)))

/** Whether a group has any member, be it a zombie. */
export const groupExists = (pgid: number): boolean => {
  try {
    process.kill(-pgid, 0)
    return true
  } catch {
    // ESRCH: nobody is left. EPERM: only zombies are (macOS), which nobody can signal.
    return false
  }
}

/** Reads of /proc race with processes that end; whatever can't be read is gone or not ours. */
const readOrEmpty = (path: string): Promise<string> => readFile(path, "latin1").catch(() => "")

const processIds = async (): Promise<ReadonlyArray<string>> =>
  (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name))

/** What `/proc/<pid>/stat` says of a process; the command in parentheses may hold anything. */
const parseStat = (stat: string) => {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const [state = "X", , pgid = "0"] = fields
  // The 22nd field in all (proc_pid_stat(5)), in clock ticks since the machine was started.
  return { runs: state !== "" && state !== "Z" && state !== "X", pgid: Number(pgid), started: fields[19] ?? "" }
}

/**
 * Tells a process that runs from a later one with the same id; `undefined` when none runs. Outside Linux only whether
 * one runs can be told.
 */
export const identify = (pid: number): Effect.Effect<string | undefined> =>
  Effect.promise(async () => {
    try {
      process.kill(pid, 0)
    } catch (error) {
      // EPERM: it is somebody else's, but it is.
      if ((error as NodeJS.ErrnoException).code !== "EPERM") return undefined
    }
    if (process.platform !== "linux") return ""
    const { runs, started } = parseStat(await readOrEmpty(`/proc/${pid}/stat`))
    return runs ? started : undefined
  })

/**
 * Whether a group has a member that still runs. On Linux zombies don't count: where PID 1 reaps nobody, as in many
 * containers, a group of zombies exists for ever.
 */
const groupRuns = (pgid: number): Effect.Effect<boolean> =>
  Effect.promise(async () => {
    if (!groupExists(pgid)) return false
    if (process.platform !== "linux") return true
    const stats = await Promise.all((await processIds()).map((pid) => readOrEmpty(`/proc/${pid}/stat`)))
    return stats.map(parseStat).some((member) => member.pgid === pgid && member.runs)
  })

/** Waits until no member of the group runs, at most `limit`; answers whether the group is gone. */
export const awaitGroupEnd = (pgid: number, limit: Duration.Input): Effect.Effect<boolean> =>
  groupRuns(pgid).pipe(
    Effect.repeat({ schedule: Schedule.spaced(POLL_INTERVAL), while: (runs) => runs }),
    Effect.as(true),
    Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.succeed(false) }),
  )

/** Rounds of looking for descendants: one that forks while we look is found in the next round. */
const SWEEP_ROUNDS = 3

/**
 * Kills descendants that left the process group (daemons, `setsid`), which no group signal reaches. They carry a
 * variable of ours in their environment, as every process started from the plugin does unless it cleared it. Linux
 * only: elsewhere another process' environment can't be read.
 */
export const killMarked = (variable: string, value: string): Effect.Effect<void> =>
  process.platform !== "linux"
    ? Effect.void
    : Effect.promise(async () => {
        const marker = `${variable}=${value}`
        for (let round = 0; round < SWEEP_ROUNDS; round++) {
          const pids = (await processIds()).filter((pid) => Number(pid) !== process.pid)
          const environments = await Promise.all(pids.map((pid) => readOrEmpty(`/proc/${pid}/environ`)))
          const marked = pids.filter((_, index) => environments[index]!.split("\0").includes(marker))
          if (marked.length === 0) return
          for (const pid of marked) {
            try {
              process.kill(Number(pid), "SIGKILL")
            } catch {
              // It has ended since it was read.
            }
          }
        }
      })
