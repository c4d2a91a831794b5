import { Duration, Effect, Latch, type Scope } from "effect"
import type { Child } from "./Child.ts"
import type { LimitPlan } from "./LimitPlan.ts"
import { overLimit } from "./ProcessLimits.ts"
import { signalProcess, withDescendants } from "./ProcessSweep.ts"
import { type ProcessEntry, proportional, runs, scan } from "./ProcessTable.ts"

/** How often it is looked. A look takes some ten microseconds for each process of the machine. */
const LOOK_INTERVAL = Duration.seconds(1)

/** Ends plugins that are over limits that the kernel does not hold, by one look a second for all of them. */
export interface LimitWatch {
  readonly watch: (child: Child, limits: LimitPlan["watched"]) => void
  readonly forget: (child: Child) => void
}

/** Looks as long as there is anything to look after, and no longer than the Scope. */
export const make: Effect.Effect<LimitWatch, never, Scope.Scope> = Effect.gen(function* () {
  const watched = new Map<Child, LimitPlan["watched"]>()
  const needed = Latch.makeUnsafe(false)
  const look = Effect.map(scan, (table) => {
    // Unknown is never too much.
    for (const [child, limits] of table === undefined ? [] : watched) check(child, limits, table!)
  })
  yield* Effect.forkScoped(
    Effect.forever(needed.await.pipe(Effect.andThen(look), Effect.andThen(Effect.sleep(LOOK_INTERVAL)))),
  )
  return {
    watch: (child, limits) => {
      watched.set(child, limits)
      needed.openUnsafe()
    },
    forget: (child) => {
      watched.delete(child)
      if (watched.size === 0) needed.closeUnsafe()
    },
  }
})

const check = (child: Child, limits: LimitPlan["watched"], table: ReadonlyArray<ProcessEntry>): void => {
  const { controlGroup, ended, group, marker } = child
  const inside = controlGroup?.pids() ?? new Set()
  const members = withDescendants(
    table,
    ({ group: groupId, marker: own, pid, session }) =>
      own === marker || groupId === group.id || session === group.id || inside.has(pid),
  ).filter((entry) => runs(entry) && entry.pid !== process.pid)
  const exceeded = limits.find(([name, value]) => USED[name](members, value) > value)
  if (exceeded === undefined) return
  ended.overLimit = overLimit(...exceeded)
  controlGroup?.kill()
  // All are stopped before the first is killed: none can start another in its place meanwhile.
  for (const signal of ["SIGSTOP", "SIGKILL"] as const) {
    for (const entry of members) signalProcess(entry, signal)
  }
  group.signal("SIGKILL")
}

const sum = (members: ReadonlyArray<ProcessEntry>, of: (entry: ProcessEntry) => number): number =>
  members.reduce((total, entry) => total + of(entry), 0)

/** What the processes of a plugin use; exact only where it may be too much. */
const USED = {
  memory: (members: ReadonlyArray<ProcessEntry>, limit: number) => {
    const resident = sum(members, (entry) => entry.resident)
    return resident <= limit ? resident : sum(members, proportional)
  },
  processes: (members: ReadonlyArray<ProcessEntry>) => sum(members, (entry) => entry.threads),
}
