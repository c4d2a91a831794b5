import { Clock, Duration, Effect, Schedule } from "effect"
import { type ProcessEntry, runs, scan, startOf } from "./ProcessTable.ts"

/** Which processes are meant; asked anew in each round. */
export type Selection = (table: ReadonlyArray<ProcessEntry>) => ReadonlyArray<ProcessEntry>

/** What came of a search. */
export interface Swept {
  /** Whether nobody is left, as far as can be seen. */
  readonly complete: boolean
  /** Everybody that was found. */
  readonly found: ReadonlySet<number>
  /** Who was still there in the last round. */
  readonly remaining: ReadonlyArray<ProcessEntry>
}

/**
 * Rounds in a row that must find nobody: one that forks and ends while /proc is read may be seen in neither of its
 * shapes, but hardly twice.
 */
const EMPTY_ROUNDS = 2

/**
 * How long a search may take in all. SIGKILL works within milliseconds, unless the kernel holds a process (a stuck disk,
 * say); and what starts itself again faster than it is stopped is not waited for without end.
 */
const SWEEP_LIMIT = Duration.seconds(2)

/**
 * How often it is looked all the same, and for how long at most: a host that hardly gets a processor has done nothing yet
 * when that time is over.
 */
const MIN_ROUNDS = 10
const BUSY_LIMIT = Duration.seconds(15)

/**
 * When those who are to end are looked at again: soon, since death is usually a matter of milliseconds, then less and
 * less often.
 */
export const LOOK_AGAIN = Schedule.min([Schedule.exponential("2 millis"), Schedule.spaced("100 millis")])

/**
 * Ends the processes that are selected, wherever they are, by force. All of them are stopped before the first is killed:
 * none can start another in its place meanwhile.
 */
export const sweep = Effect.fnUntraced(function* (select: Selection): Effect.fn.Return<Swept> {
  const found = new Set<number>()
  let remaining: ReadonlyArray<ProcessEntry> = []
  let empty = 0
  let rounds = 0
  const begun = yield* Clock.currentTimeMillis
  const isOver = Effect.map(
    Clock.currentTimeMillis,
    (now) => ++rounds >= MIN_ROUNDS && now - begun >= Duration.toMillis(SWEEP_LIMIT),
  )
  const round = Effect.map(scan, (table) => {
    // Unknown is never gone.
    if (table === undefined) return false
    remaining = select(table).filter((entry) => runs(entry) && entry.pid !== process.pid)
    for (const { pid } of remaining) found.add(pid)
    for (const signal of ["SIGSTOP", "SIGKILL"] as const) {
      for (const entry of remaining) signalProcess(entry, signal)
    }
    empty = remaining.length === 0 ? empty + 1 : 0
    return empty === EMPTY_ROUNDS
  })
  const [complete] = yield* Effect.all([round, isOver]).pipe(
    Effect.repeat({ schedule: LOOK_AGAIN, until: ([complete, isOver]) => complete || isOver }),
    Effect.timeoutOrElse({ duration: BUSY_LIMIT, orElse: () => Effect.succeed([false]) }),
  )
  return { complete, found, remaining }
})

/** Signals one process. The id may have become a stranger's since it was read. */
export const signalProcess = ({ pid, started }: ProcessEntry, signal: NodeJS.Signals): void => {
  if (startOf(pid) !== started) return
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended since, or may not be signalled.
  }
}

/** What keeps processes that were killed from ending. */
export const describeRemaining = ({ complete, remaining }: Swept): string =>
  remaining.length === 0 && !complete
    ? "the system's processes can't be looked through"
    : remaining
        .map(
          (entry) =>
            `${entry.pid} (${mayNotSignal(entry) ? "another user's" : entry.state === "D" ? "the kernel holds it" : "it is still there"})`,
        )
        .join(", ")

const mayNotSignal = ({ pid }: ProcessEntry): boolean => {
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

/** Those that `isRoot` holds for, and all that descends from them as far as the links are there. */
export const withDescendants = (
  table: ReadonlyArray<ProcessEntry>,
  isRoot: (entry: ProcessEntry) => boolean,
): ReadonlyArray<ProcessEntry> => {
  const chosen = new Map<number, ProcessEntry>()
  for (const entry of table) if (isRoot(entry)) chosen.set(entry.pid, entry)
  for (let size = -1; size !== chosen.size;) {
    size = chosen.size
    for (const entry of table) if (chosen.has(entry.parent)) chosen.set(entry.pid, entry)
  }
  return [...chosen.values()]
}
