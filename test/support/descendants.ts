/** Processes that try to stay, in this host and in one that can be killed. */
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Schedule } from "effect"
import * as ControlGroup from "../../src/process/ControlGroup.ts"
import type { ProcessSpec } from "../../src/process/ProcessSpec.ts"
import { eventually, isAlive } from "./host.ts"

/** For as many processes as are started at once, on a machine that does other things too, in milliseconds. */
export const PATIENCE = 30_000

const fixtures = join(import.meta.dirname, "../fixtures")

/** A process that starts a descendant of a kind; all of its processes have the token among their arguments. */
export const specOf = (kind: string, token: string): ProcessSpec => ({
  pluginId: kind,
  executable: "/usr/bin/env",
  args: ["python3", "-IS", join(fixtures, "descendants.py"), kind, token],
  cwd: "/",
  env: { PATH: process.env["PATH"] },
  waitDelay: "500 millis",
})

/** The processes that have a text among their arguments. */
export const processesOf = (text: string): ReadonlyArray<number> =>
  readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && isAlive(pid) && argumentsOf(pid).includes(text))

const argumentsOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8")
  } catch {
    return ""
  }
}

/** The control groups that a host has made; where there are none, there are none of its. */
const controlGroupsOf = (host: number): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(ControlGroup.baseGroup, (base) =>
    base === undefined
      ? []
      : readdirSync(base).filter((name) => new RegExp(`^plugin-supervisor-\\w+-\\d+-\\d+-${host}-`).test(name)),
  )

/** Whether hosts may make control groups here. */
export const haveControlGroups: Effect.Effect<boolean> = Effect.scoped(
  Effect.map(ControlGroup.make(`probe-${randomUUID()}`), (groups) => groups !== undefined),
)

/** The processes of a host's watchdogs. */
export const watchdogsOf = (host: number): ReadonlyArray<number> =>
  processesOf("plugin-supervisor-watchdog").filter((pid) =>
    new RegExp(`watchdog\0\\w+-\\d+-\\d+-${host}-`).test(argumentsOf(pid)),
  )

/** Waits until there is nothing left of the processes with the token, and of their host's control groups and watchdog. */
export const nothingIsLeft = Effect.fnUntraced(function* (host: number, token: string) {
  // Twice: one that starts itself anew may hide from one look.
  for (let look = 0; look < 2; look++) {
    yield* eventually("all processes are gone", () => processesOf(token).length === 0, PATIENCE)
  }
  yield* Effect.repeat(controlGroupsOf(host), {
    schedule: Schedule.spaced("20 millis"),
    until: (groups) => groups.length === 0,
  }).pipe(Effect.timeout(PATIENCE))
  yield* eventually("the watchdog is gone", () => watchdogsOf(host).length === 0, PATIENCE)
})

/** Runs with a token; whatever it leaves in spite of all is not left on the machine. */
export const withToken = <A, E, R>(use: (token: string) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const token = `token-${randomUUID()}`
    return Effect.ensuring(
      use(token),
      Effect.sync(() => processesOf(token).forEach((pid) => process.kill(pid, "SIGKILL"))),
    )
  })

/** A host in a process of its own, which has started a process of each kind; it is killed when the Scope closes. */
export const hostOf = Effect.fnUntraced(function* (
  kinds: ReadonlyArray<string>,
  token: string,
  options: {
    readonly controlGroups?: boolean
    readonly exhaust?: boolean
    readonly prefix?: ReadonlyArray<string>
  } = {},
) {
  const { prefix = [], ...settings } = options
  const given = JSON.stringify({ controlGroups: true, ...settings, specs: kinds.map((kind) => specOf(kind, token)) })
  const [command, ...args] = [...prefix, process.execPath, join(fixtures, "processHost.ts"), given]
  const host = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] })),
    (host) => Effect.sync(() => host.kill("SIGKILL")),
  )
  let output = ""
  host.stdout.on("data", (chunk) => (output += String(chunk)))
  yield* eventually("all are ready", () => output.includes("ready\n"), PATIENCE)
  return { pid: host.pid!, kill: (signal: NodeJS.Signals) => Effect.sync(() => host.kill(signal)), host }
})
