import { type ChildProcess, spawn } from "node:child_process"
import type { Socket } from "node:net"
import { Deferred, Duration, Effect, Exit, Latch, Schedule, type Scope } from "effect"
import { describeExit, type ProcessExit } from "./ProcessSpec.ts"
import { VARIABLES } from "../command/Variables.ts"

/**
 * Outlives the host by a moment, for what no finalizer does once the host was killed: it waits for the end of its stdin,
 * which the kernel closes with the host, and then ends all that the host's plugins are, and have started. It is told the
 * ids of their groups; everybody else is found by the marker of the host, or is in its control groups.
 *
 * `$1`: the beginning of the markers; `$2`: the folder of the control groups, or nothing. Words on stdin: `+ <group>`,
 * `- <group>`, `end` for a host that has left nothing behind. Everything is stopped before anything is killed, so that
 * nothing can start another in its place, until two rounds in a row have found nobody; at most forty, which is seconds.
 */
const SCRIPT = `
trap '' HUP INT QUIT TERM TSTP PIPE
exec 2>/dev/null
groups=' '
while read -r word id; do
  case $word in
    +) groups="$groups$id " ;;
    -) case $groups in *" $id "*) groups="\${groups%%" $id "*} \${groups#*" $id "}" ;; esac ;;
    end) exit 0 ;;
  esac
done
round=0 empty=0
while [ $round -lt 40 ] && [ $empty -lt 2 ]; do
  round=$((round + 1)) left=' ' pids=''
  [ -z "$2" ] || echo 1 >"$2/cgroup.kill"
  for group in $groups; do kill -s STOP -- "-$group" && left="$left$group "; done
  for file in $(grep -lsF -- "${VARIABLES.marker}=$1" /proc/[0-9]*/environ); do
    pid=\${file#/proc/} pid=\${pid%/environ}
    kill -s STOP "$pid" && pids="$pids $pid"
  done
  groups=$left
  for group in $groups; do kill -s KILL -- "-$group"; done
  for pid in $pids; do kill -s KILL "$pid"; done
  if [ "$groups$pids" = ' ' ]; then empty=$((empty + 1)); else empty=0; sleep 0.05 || sleep 1; fi
done
[ -z "$2" ] || find "$2" -depth -type d -exec rmdir {} ';'
`

/** When a watchdog that was killed is started anew. */
const RESTART = Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("1 minute")])

/** How long a watchdog may take to end: at once, if there is nothing to do, else after its rounds. */
const [END_LIMIT, SWEEP_LIMIT] = [Duration.seconds(1), Duration.seconds(4)]

/** A host's watchdog: a process in a session of its own, which keeps neither the host nor its event loop alive. */
export interface Watchdog {
  /** A group is to be ended with the host. */
  readonly watch: (group: number) => void
  /** A group is gone: its id may be a stranger's. */
  readonly forget: (group: number) => void
  /** Somebody could not be found or ended: the watchdog is to look once more when the host has ended. */
  readonly leaveTheRest: () => void
}

/**
 * The watchdog of a host; `owner` begins the markers of its plugins. It is started with the first group, right after that,
 * and ends with the Scope, if all is done.
 */
export const make = Effect.fnUntraced(function* (
  owner: string,
  controlGroups: string | undefined,
): Effect.fn.Return<Watchdog, never, Scope.Scope> {
  const groups = new Set<number>()
  const needed = Latch.makeUnsafe(false)
  let isClean = true
  let current:
    | { readonly process: ChildProcess; readonly exit: Deferred.Deferred<ProcessExit, NodeJS.ErrnoException> }
    | undefined
  const tell = (...words: ReadonlyArray<string | number>) => current?.process.stdin?.write(`${words.join(" ")}\n`)

  /** One life of it; answers whether there is any use in another. */
  const live = Effect.suspend(() => {
    const exit = Deferred.makeUnsafe<ProcessExit, NodeJS.ErrnoException>()
    const args = ["-c", SCRIPT, "plugin-supervisor-watchdog", owner, controlGroups ?? ""]
    const child = spawn("/bin/sh", args, {
      env: { PATH: process.env["PATH"] },
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
    })
    child.once("error", (error) => Deferred.doneUnsafe(exit, Exit.fail(error)))
    child.once("exit", (code, signal) => Deferred.doneUnsafe(exit, Exit.succeed<ProcessExit>({ code, signal })))
    child.unref()
    // Where no descriptor is left for it there is no pipe either.
    const lifeline = child.stdin as Socket | null | undefined
    lifeline?.unref()
    lifeline?.on("error", () => {})
    current = { process: child, exit }
    for (const group of groups) tell("+", group)
    return Effect.matchEffect(Deferred.await(exit), {
      onSuccess: (exit) => Effect.as(Effect.logWarning(`the host's watchdog ended: ${describeExit(exit)}`), true),
      onFailure: ({ code, message }) =>
        Effect.as(
          Effect.logWarning(
            `this host has no watchdog: ${message}; if it is killed, what plugins leave is ended by the next host that starts`,
          ),
          code !== "ENOENT",
        ),
    })
  })

  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      if (current === undefined) return Effect.void
      const { exit, process } = current
      if (isClean) tell("end")
      process.stdin?.end()
      return Effect.exit(Deferred.await(exit)).pipe(
        Effect.timeoutOrElse({
          duration: isClean ? END_LIMIT : SWEEP_LIMIT,
          orElse: () => Effect.sync(() => (isClean ? process.kill("SIGKILL") : false)),
        }),
      )
    }),
  )
  yield* Effect.forkScoped(
    Effect.andThen(needed.await, Effect.repeat(live, { schedule: RESTART, while: (again) => again })),
  )
  return {
    watch: (group) => {
      groups.add(group)
      tell("+", group)
      needed.openUnsafe()
    },
    forget: (group) => {
      if (groups.delete(group)) tell("-", group)
    },
    leaveTheRest: () => {
      isClean = false
    },
  }
})
