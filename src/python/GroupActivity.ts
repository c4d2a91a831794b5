import { readFile } from "node:fs/promises"
import { Effect } from "effect"
import { scan } from "../process/ProcessTable.ts"

/** What a process group has done so far: bytes written, to files mostly, and clock ticks of CPU time. */
interface Done {
  readonly bytes: number
  readonly ticks: number
}

/** What counts as progress: less than that comes of waiting itself, of timers and of attempts that fail. */
const PROGRESS: Done = { bytes: 64 * 1024, ticks: 100 }

const fieldOf = (text: string, name: string): number =>
  Number(new RegExp(`^${name}: (\\d+)$`, "m").exec(text)?.[1] ?? 0)

/** What a process has done; nothing where it is gone, or can't be asked. */
const doneBy = (pid: number): Effect.Effect<Done> =>
  Effect.promise(async () => {
    try {
      const [io, stat] = await Promise.all([
        readFile(`/proc/${pid}/io`, "latin1"),
        readFile(`/proc/${pid}/stat`, "latin1"),
      ])
      // Fields: proc_pid_stat(5), of which the state is the third. Times of its own and of its children that have ended, as
      // their output is in its own.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
      return { bytes: fieldOf(io, "wchar"), ticks: fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) }
    } catch {
      return { bytes: 0, ticks: 0 }
    }
  })

/**
 * Tells whether a process group has done something since it was last seen to: installers that print into a pipe are silent
 * while they download. `undefined` where nothing is known, as where there is no
 * /proc.
 */
export const makeActivity = (group: number): Effect.Effect<boolean | undefined> => {
  const known = new Map<number, Done>()
  let since: Done = { bytes: 0, ticks: 0 }
  return Effect.gen(function* () {
    const table = yield* scan
    if (table === undefined) return undefined
    for (const { pid } of table.filter((entry) => entry.group === group)) {
      const now = yield* doneBy(pid)
      const before = known.get(pid) ?? { bytes: 0, ticks: 0 }
      known.set(pid, now)
      since = {
        bytes: since.bytes + Math.max(0, now.bytes - before.bytes),
        ticks: since.ticks + Math.max(0, now.ticks - before.ticks),
      }
    }
    if (since.bytes < PROGRESS.bytes && since.ticks < PROGRESS.ticks) return false
    since = { bytes: 0, ticks: 0 }
    return true
  })
}
