import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { setImmediate, setTimeout } from "node:timers/promises"
import { Duration, Effect } from "effect"
import { VARIABLES } from "../command/Variables.ts"

/** A process, as /proc tells of it. */
export interface ProcessEntry {
  readonly pid: number
  readonly parent: number
  readonly group: number
  readonly session: number
  /** A letter, as in proc_pid_stat(5): `Z` is a zombie, `D` waits in the kernel and can't be killed before that lets go. */
  readonly state: string
  /** In clock ticks since the machine was started. With the id it tells a process from every other one. */
  readonly started: string
  /** Memory that it has in use, in bytes; what it shares with others counts for each of them. */
  readonly resident: number
  readonly threads: number
  /** The value of `VARIABLES.marker` in the environment it was started with, where that can be read. */
  readonly marker: string | undefined
}

/** Codes of errors that say: the process is gone, or is not ours to see. Every other one says that nobody knows. */
const NOT_THERE: ReadonlySet<string | undefined> = new Set(["ENOENT", "ESRCH", "EACCES", "EPERM"])

/** Codes of errors that say: no descriptor is left, in this process or on the machine. */
const EXHAUSTED: ReadonlySet<string | undefined> = new Set(["EMFILE", "ENFILE"])

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

/**
 * A descriptor to let go for a moment where none is left: what a stop has to read is read all the same, however many
 * connections the host holds.
 */
let spare: number | undefined

const takeSpare = (): void => {
  try {
    spare ??= openSync("/dev/null", "r")
  } catch {
    // None is left even now; the next look tries again.
  }
}

/** Opens and reads, or writes, something at once, on the spare descriptor where no other is left. */
export const onAnyDescriptor = <A>(use: () => A): A => {
  try {
    return use()
  } catch (error) {
    if (!EXHAUSTED.has(codeOf(error)) || spare === undefined) throw error
    closeSync(spare)
    spare = undefined
    return use()
  } finally {
    takeSpare()
  }
}

/** What there is to read; `undefined` where the process is gone or not ours to see. Throws where nobody knows. */
const readProcess = (pid: number | string, file: "stat" | "environ"): string | undefined => {
  try {
    return onAnyDescriptor(() => readFileSync(`/proc/${pid}/${file}`, "latin1"))
  } catch (error) {
    if (NOT_THERE.has(codeOf(error))) return undefined
    throw error
  }
}

/** How long the environment of a process that waits in the kernel may take to be read, in milliseconds. */
const STUCK_LIMIT = 50

/** Reads that have not come back. */
const stuck = new Set<string>()

/**
 * The environment of a process that waits in the kernel. Who reads it may have to wait as well, for as long as a disk or
 * a network takes, so that the event loop must not; and whatever did not come back is not asked again.
 */
const readStuck = async (pid: string): Promise<string> => {
  if (stuck.has(pid)) return ""
  stuck.add(pid)
  const reading = readFile(`/proc/${pid}/environ`, "latin1").catch(() => "")
  void reading.finally(() => stuck.delete(pid))
  return Promise.race([reading, setTimeout(STUCK_LIMIT, "")])
}

/** The kind of entry of the auxiliary vector that has the size of a page (getauxval(3), AT_PAGESZ). */
const AT_PAGESZ = 6n

let page: number | undefined

/** The size of a page of memory, in bytes, as the kernel has told this process. */
const pageSize = (): number => {
  if (page !== undefined) return page
  const words = new BigUint64Array(new Uint8Array(onAnyDescriptor(() => readFileSync("/proc/self/auxv"))).buffer)
  const index = words.findIndex((word, index) => index % 2 === 0 && word === AT_PAGESZ)
  return (page = Number(words[index + 1] ?? 4096n))
}

const parse = (pid: string, stat: string, environment: string): ProcessEntry => {
  // The command, in parentheses, may hold anything. Fields: proc_pid_stat(5), of which the state is the third.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const [state = "X", parent, group, session] = fields
  const prefix = `${VARIABLES.marker}=`
  const marked = environment.split("\0").find((variable) => variable.startsWith(prefix))
  return {
    pid: Number(pid),
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    state,
    started: fields[19] ?? "",
    resident: Number(fields[21]) * pageSize(),
    threads: Number(fields[17]),
    marker: marked?.slice(prefix.length),
  }
}

/** Whether a process runs: a zombie does not. Where PID 1 reaps nobody, as in many containers, zombies stay. */
export const runs = ({ state }: ProcessEntry): boolean => state !== "Z" && state !== "X"

/** Whether /proc is there and shows this process' own namespace: otherwise nothing that it says is about us. */
export const hasProcessTable = (): boolean => {
  try {
    return process.platform === "linux" && readlinkSync("/proc/self") === String(process.pid)
  } catch {
    return false
  }
}

/** Processes read at one go; then the event loop has its turn. They take a millisecond or two. */
const SLICE = 100

/** How often a scan looks for processes that were started while it read. */
const MAX_PASSES = 10

const readTable = async (): Promise<ReadonlyArray<ProcessEntry> | undefined> => {
  const seen = new Set<string>()
  const entries: Array<ProcessEntry> = []
  try {
    for (let pass = 0; pass < MAX_PASSES; pass++) {
      const fresh = onAnyDescriptor(() => readdirSync("/proc")).filter((name) => /^\d+$/.test(name) && !seen.has(name))
      if (fresh.length === 0) break
      for (const [index, pid] of fresh.entries()) {
        if (index % SLICE === SLICE - 1) await setImmediate()
        seen.add(pid)
        const stat = readProcess(pid, "stat")
        if (stat === undefined) continue
        const isStuck = parse(pid, stat, "").state === "D"
        entries.push(parse(pid, stat, isStuck ? await readStuck(pid) : (readProcess(pid, "environ") ?? "")))
      }
    }
    return entries
  } catch {
    return undefined
  }
}

/**
 * The memory of a process in bytes, with its share of what it has in common with others; twenty times as dear as
 * `resident`. What can't be read counts as `resident`, what is gone or not to be known now as nothing.
 */
export const proportional = ({ pid, resident, state }: ProcessEntry): number => {
  // Who looks at one that waits in the kernel may have to wait as well.
  if (state === "D") return resident
  try {
    const rollup = onAnyDescriptor(() => readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))
    const kibibytes = /^Pss:\s*(\d+) kB$/m.exec(rollup)?.[1]
    return kibibytes === undefined ? 0 : Number(kibibytes) * 1024
  } catch (error) {
    const code = codeOf(error)
    return code === "EACCES" || code === "EPERM" ? resident : 0
  }
}

let last: Promise<unknown> = Promise.resolve()
let next: Promise<ReadonlyArray<ProcessEntry> | undefined> | undefined

/**
 * How long a scan may take: milliseconds, and seconds on a machine with far more to do than it can. Where it takes longer,
 * who waits for it is told that nobody knows.
 */
const SCAN_LIMIT = Duration.seconds(5)

/**
 * Every process of this namespace that this user may see; `undefined` when /proc can't be read, which is never the same
 * as that nobody is there. Whoever asks while a scan runs waits for the next one, and all of them share it. One
 * descriptor is open at a time.
 */
export const scan: Effect.Effect<ReadonlyArray<ProcessEntry> | undefined> = Effect.promise(() => {
  next ??= last.then(() => {
    next = undefined
    const current = readTable()
    last = current
    return current
  })
  return next
}).pipe(Effect.timeoutOrElse({ duration: SCAN_LIMIT, orElse: () => Effect.undefined }))

/**
 * Tells a process that runs from a later one with the same id: by when it was started. `undefined` when none runs; empty
 * where one runs and more can't be told, as everywhere but on Linux.
 */
export const startOf = (pid: number): string | undefined => {
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it is somebody else's, but it is.
    if (codeOf(error) === "ESRCH") return undefined
  }
  if (process.platform !== "linux") return ""
  try {
    const stat = readProcess(pid, "stat")
    if (stat === undefined) return ""
    const entry = parse(String(pid), stat, "")
    return runs(entry) ? entry.started : undefined
  } catch {
    return ""
  }
}

/** {@link startOf}, as an Effect. */
export const identify = (pid: number): Effect.Effect<string | undefined> => Effect.sync(() => startOf(pid))
