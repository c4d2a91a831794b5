import { execFile } from "node:child_process"
import { Deferred, Duration, Effect } from "effect"
import { WAIT_DELAY } from "../command/WaitDelay.ts"
import { type Child, DRAIN_LIMIT } from "./Child.ts"
import type { Containment } from "./Containment.ts"
import { describeRemaining, LOOK_AGAIN, sweep, withDescendants } from "./ProcessSweep.ts"
import { type ProcessEntry, runs, scan } from "./ProcessTable.ts"

/**
 * How long what a dead plugin has left in its group may take to end after SIGTERM, at most: it is told like everybody, to
 * close what it has open, but nobody is there any more who could need its answer, and the plugin's next start waits.
 */
export const LEADERLESS_LIMIT = Duration.seconds(1)

/** How long a process that was killed may take to be gone; more means that the kernel holds it (a stuck disk, say). */
const KILL_LIMIT = Duration.seconds(1)

/** How long Windows' `taskkill` may take, in milliseconds. */
const TASKKILL_LIMIT = 5000

/**
 * Ends a process and all that descends from it: SIGTERM to the group and the wait delay, then SIGKILL to the group, the
 * control group and whoever else is found. Bounded; who could not be ended is logged, and left to the watchdog.
 */
export const stop = Effect.fn("PluginProcess.stop")(function* (child: Child, held: Containment) {
  const { node, spec } = child
  const left = held.platform === "win32" ? yield* endTree(child) : yield* endGroup(child, held)
  yield* Effect.timeoutOption(Deferred.await(child.exit), KILL_LIMIT)
  yield* Effect.timeoutOption(Deferred.await(child.closed), DRAIN_LIMIT)
  for (const pipe of node.stdio) pipe?.destroy()
  if (left === undefined) return
  held.watchdog?.leaveTheRest()
  yield* Effect.logError(`plugin ${spec.pluginId} was stopped, but not all of its processes have ended: ${left}`)
})

/** Answers what is left, and why; `undefined` if nobody is. */
const endGroup = Effect.fnUntraced(function* (child: Child, { canSearch }: Containment) {
  const { controlGroup, exit, group, marker, spec } = child
  // Who has cleared its environment is known by its parent or its session, as long as those live.
  const known = new Map<number, string>()
  if (canSearch && group.exists()) {
    const isOurs = (entry: ProcessEntry) => entry.marker === marker || [entry.group, entry.session].includes(group.id)
    for (const { pid, started } of withDescendants((yield* scan) ?? [], isOurs)) known.set(pid, started)
  }
  if (group.exists()) {
    const isLed = !(yield* Deferred.isDone(exit))
    const waitDelay = Duration.fromInputUnsafe(spec.waitDelay ?? WAIT_DELAY)
    group.signal("SIGTERM")
    // One that is stopped would not hear of it.
    group.signal("SIGCONT")
    const hasEnded = yield* awaitEnd(child, canSearch, isLed ? waitDelay : Duration.min(waitDelay, LEADERLESS_LIMIT))
    const who = isLed ? "did not end within its wait delay" : "has ended, but what it started did not"
    if (!hasEnded) yield* Effect.logWarning(`plugin ${spec.pluginId} ${who} after SIGTERM; its process group is killed`)
  }
  group.signal("SIGKILL")
  const isEmpty = controlGroup === undefined || (yield* controlGroup.end)
  if (!canSearch) return (yield* awaitEnd(child, canSearch, KILL_LIMIT)) ? undefined : `its process group ${group.id}`
  const swept = yield* sweep((table) =>
    withDescendants(
      table,
      (entry) =>
        entry.marker === marker ||
        (entry.group === group.id && group.exists()) ||
        known.get(entry.pid) === entry.started,
    ),
  )
  if (!swept.complete) return describeRemaining(swept)
  return isEmpty ? undefined : `whoever is in ${controlGroup.members}`
})

/** Waits until nobody of a group runs any more; answers whether that was within the limit. */
const awaitEnd = ({ exit, group }: Child, canSearch: boolean, limit: Duration.Duration): Effect.Effect<boolean> => {
  const isThere = Effect.suspend(() => {
    if (!group.exists() || !canSearch) return Effect.succeed(group.exists())
    // Unknown is never gone.
    return Effect.map(scan, (table) => table?.some((entry) => entry.group === group.id && runs(entry)) ?? true)
  })
  // As long as the leader lives, nobody has to look.
  return Deferred.await(exit).pipe(
    Effect.andThen(Effect.repeat(isThere, { schedule: LOOK_AGAIN, while: (isThere) => isThere })),
    Effect.as(true),
    Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.succeed(false) }),
  )
}

/**
 * Windows knows neither signals nor groups, only parents: the tree below a process that has ended already is found by
 * nobody.
 */
const endTree = ({ exit, node }: Child): Effect.Effect<string | undefined> =>
  Effect.flatMap(Deferred.isDone(exit), (isDone) =>
    isDone
      ? Effect.undefined
      : Effect.callback((resume) => {
          const args = ["/pid", String(node.pid), "/T", "/F"]
          execFile("taskkill", args, { timeout: TASKKILL_LIMIT, windowsHide: true }, (error) => {
            if (error !== null) node.kill("SIGKILL")
            resume(Effect.succeed(error === null ? undefined : `taskkill failed: ${error.message.trim()}`))
          })
        }),
  )
