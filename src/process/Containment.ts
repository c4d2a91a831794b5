import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { Effect, Scope } from "effect"
import { HostEnvironment } from "../command/HostEnvironment.ts"
import * as ControlGroup from "./ControlGroup.ts"
import { hostIdentity, isDeadHost } from "./HostIdentity.ts"
import * as LimitWatch from "./LimitWatch.ts"
import { describeRemaining, sweep, withDescendants } from "./ProcessSweep.ts"
import { type ProcessEntry, scan } from "./ProcessTable.ts"
import * as Watchdog from "./Watchdog.ts"

/** What a host has to keep hold of its plugins' processes; each part where the platform has it. */
export interface Containment {
  readonly platform: NodeJS.Platform
  /** The value of a new start's marker (`VARIABLES.marker`). */
  readonly marker: () => string
  /** Whether a process' descendants can be found by their markers. */
  readonly canSearch: boolean
  /** The path of util-linux' `setpriv`. */
  readonly setpriv: string | undefined
  /** The path of util-linux' `prlimit`. */
  readonly prlimit: string | undefined
  readonly controlGroups: ControlGroup.ControlGroups | undefined
  readonly limitWatch: LimitWatch.LimitWatch
  readonly watchdog: Watchdog.Watchdog | undefined
}

/** How long it may take to ask for a program, in milliseconds. */
const PROBE_LIMIT = 2000

/**
 * The path of a program of util-linux', if it is there and does what is asked of it here. Asked once per host; a plugin's own
 * PATH may lead elsewhere.
 */
const find = (program: string, args: string): Effect.Effect<string | undefined> =>
  Effect.callback((resume) => {
    const probe = `command -v ${program} && ${program} ${args} true`
    execFile("sh", ["-c", probe], { timeout: PROBE_LIMIT }, (error, stdout) =>
      resume(Effect.succeed(error === null ? stdout.trim() : undefined)),
    )
  })

/** Busybox' knows no `--pdeathsig`. */
const findSetpriv = find("setpriv", "--pdeathsig TERM")

const findPrlimit = find("prlimit", "--core=0:0")

/**
 * Ends what hosts that are dead have left, and answers how this host keeps hold of what it starts. That is set up with
 * the first plugin, since a host may start none, and goes with the Scope.
 */
export const make = Effect.fnUntraced(function* (): Effect.fn.Return<Effect.Effect<Containment>, never, Scope.Scope> {
  const platform = (yield* HostEnvironment).platform.platform as NodeJS.Platform
  const identity = hostIdentity()
  if (identity !== undefined) yield* endAbandoned(identity)
  // A process may have several hosts in it.
  const owner = `${identity ?? "host"}-${randomBytes(4).toString("hex")}`
  let starts = 0
  const setUp = Effect.gen(function* () {
    const limitWatch = yield* LimitWatch.make
    const marker = () => `${owner}:${++starts}`
    const common = { platform, marker, canSearch: identity !== undefined, limitWatch }
    if (platform === "win32") {
      return { ...common, setpriv: undefined, prlimit: undefined, controlGroups: undefined, watchdog: undefined }
    }
    const [setpriv, prlimit, controlGroups] = yield* Effect.all(
      [
        platform === "linux" ? findSetpriv : Effect.undefined,
        platform === "linux" ? findPrlimit : Effect.undefined,
        identity === undefined ? Effect.undefined : ControlGroup.make(owner),
      ],
      { concurrency: 3 },
    )
    return {
      ...common,
      setpriv,
      prlimit,
      controlGroups,
      watchdog: yield* Watchdog.make(owner, controlGroups?.directory),
    }
  })
  const scope = yield* Effect.scope
  return yield* setUp.pipe(Scope.provide(scope), Effect.uninterruptible, Effect.cached)
})

/** Ends the processes of hosts that were killed, and of whatever their plugins started. */
const endAbandoned = Effect.fnUntraced(function* (identity: string) {
  yield* ControlGroup.endAbandoned(identity)
  const isAbandoned = (table: ReadonlyArray<ProcessEntry>) => {
    // This host may have been started by somebody's plugin itself.
    const own = table.find(({ pid }) => pid === process.pid)?.marker
    return ({ marker }: ProcessEntry) => marker !== undefined && marker !== own && isDeadHost(marker, identity)
  }
  const table = yield* scan
  if (table?.some(isAbandoned(table)) !== true) return
  const swept = yield* sweep((table) => withDescendants(table, isAbandoned(table)))
  const ended = [...swept.found].join(", ")
  yield* Effect.logWarning(`a host that was killed had left processes of its plugins, which are ended: ${ended}`)
  if (!swept.complete) yield* Effect.logError(`some of them are not: ${describeRemaining(swept)}`)
})
