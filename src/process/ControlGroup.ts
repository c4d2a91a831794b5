import { constants, existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs"
import { access, mkdir, rmdir } from "node:fs/promises"
import { dirname, join, relative } from "node:path"
import { Context, Duration, Effect, type Scope } from "effect"
import { isDeadHost } from "./HostIdentity.ts"
import { LOOK_AGAIN } from "./ProcessSweep.ts"
import { onAnyDescriptor } from "./ProcessTable.ts"

/**
 * Whether plugins get a control group each (Linux, cgroup v2), where this host may make some: then whatever a plugin
 * starts is ended with it, whatever it does to hide. Default true; elsewhere nothing changes either way.
 */
export const UseControlGroups: Context.Reference<boolean> = Context.Reference(
  "effect-plugin-supervisor/process/UseControlGroups",
  { defaultValue: () => true },
)

/** What this host's own groups are named by, followed by its name. */
const PREFIX = "plugin-supervisor-"

/** How long the kernel may take to end all of a group; more means that it holds a process (a stuck disk, say). */
const END_LIMIT = Duration.seconds(2)

/** What systemd calls groups of its own. */
const UNIT = /\.(service|scope|slice)$/

/** The group to make others in, for a process that is in `own`; see {@link baseGroup}. */
export const baseOf = (own: string): string =>
  !UNIT.test(own) && UNIT.test(dirname(own)) && !dirname(own).endsWith(".slice") ? dirname(own) : own

/**
 * The group that this host makes its own groups in, as a folder: the one that this process is in itself, or the one above
 * where that is a unit of systemd's with a group for its own processes (`DelegateSubgroup=`), since limits can be set only in
 * groups of one without processes. `undefined` where there is no cgroup v2 or it is out of view.
 */
export const baseGroup: Effect.Effect<string | undefined> = Effect.sync(() => {
  if (!existsSync("/proc/self/mountinfo")) return undefined
  const path = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1]
  // Fields: proc_pid_mountinfo(5). The fourth is what of the hierarchy is mounted, the fifth where.
  const mount = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .find((line) => / - cgroup2 /.test(line))
    ?.split(" ")
  const [root, point] = [mount?.[3], mount?.[4]]
  if (path === undefined || root === undefined || point === undefined) return undefined
  const below = relative(root, path)
  if (below.startsWith("..")) return undefined
  const own = join(unescape(point), below)
  return below === "" ? own : baseOf(own)
})

/** Blanks and the like are in octal in mountinfo. */
const unescape = (path: string): string =>
  path.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/**
 * Removes a group and those within; fails while a process is in one of them. Not at once: as long as a process enters any group
 * the kernel keeps whoever makes or removes one waiting, for some ten milliseconds each.
 */
const removeTree = async (directory: string): Promise<void> => {
  for (const entry of onAnyDescriptor(() => readdirSync(directory, { withFileTypes: true }))) {
    if (entry.isDirectory()) await removeTree(join(directory, entry.name))
  }
  await rmdir(directory)
}

/** Ends everybody in a group; answers whether the group is gone, as it can be only once nobody is in it any more. */
const end = (directory: string): Effect.Effect<boolean> =>
  Effect.promise(async () => {
    try {
      onAnyDescriptor(() => writeFileSync(join(directory, "cgroup.kill"), "1"))
      await removeTree(directory)
      return true
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "ENOENT"
    }
  }).pipe(
    Effect.repeat({ schedule: LOOK_AGAIN, until: (isGone) => isGone }),
    Effect.timeoutOrElse({ duration: END_LIMIT, orElse: () => Effect.succeed(false) }),
  )

/** The control group of one start of a plugin. */
export interface ControlGroup {
  /** The file that takes the ids of processes to be moved into it. */
  readonly members: string
  /** Has the kernel hold a limit; answers why it can't. */
  readonly limit: (name: GroupLimit, value: number) => string | undefined
  /** How often the kernel has ended a process of it, since all of it had more memory than it may. */
  readonly memoryKills: () => number
  /** Who is in it now. */
  readonly pids: () => ReadonlySet<number>
  /** Ends everybody in it at once. */
  readonly kill: () => void
  /** Ends everybody in it, and removes it; answers whether nobody is left. */
  readonly end: Effect.Effect<boolean>
}

/** The control groups of one host. */
export interface ControlGroups {
  /** The folder that holds them. */
  readonly directory: string
  /** Makes a group; `undefined` if it can't be made any more. */
  readonly make: (run: string) => Effect.Effect<ControlGroup | undefined>
}

/** What a control group can limit. */
export type GroupLimit = "memory" | "processes" | "cpus"

/** The kernel's controller of each limit, and what is written to which of its files. */
const CONTROLLERS: {
  readonly [N in GroupLimit]: {
    readonly controller: string
    readonly file: string
    readonly text: (value: number) => string
    /** Files that some kernels don't have. */
    readonly also: Readonly<Record<string, string>>
  }
} = {
  // Its children end with the plugin; and what it may not have in memory is not had by swapping.
  memory: {
    controller: "memory",
    file: "memory.max",
    text: String,
    also: { "memory.oom.group": "1", "memory.swap.max": "0" },
  },
  processes: { controller: "pids", file: "pids.max", text: String, also: {} },
  // Microseconds of each tenth of a second.
  cpus: { controller: "cpu", file: "cpu.max", text: (cpus) => `${Math.round(cpus * 100_000)} 100000`, also: {} },
}

/** Writes to files of groups that are there; answers whether all of it was taken. */
const isWritten = (file: string, text: string): boolean => {
  try {
    if (!existsSync(file)) return false
    onAnyDescriptor(() => writeFileSync(file, text))
    return true
  } catch {
    return false
  }
}

const readGroup = (file: string): string => {
  try {
    return onAnyDescriptor(() => readFileSync(file, "utf8"))
  } catch {
    return ""
  }
}

/** A group that is there; `above` are the groups above it that this host may change, the highest first. */
export const controlGroup = (directory: string, above: ReadonlyArray<string>): ControlGroup => ({
  members: join(directory, "cgroup.procs"),
  limit: (name, value) => {
    const { also, controller, file, text } = CONTROLLERS[name]
    // The kernel refuses it where a group above has processes of its own, as it does where it is on already.
    for (const group of above) isWritten(join(group, "cgroup.subtree_control"), `+${controller}`)
    if (!isWritten(join(directory, file), text(value))) {
      return `control groups of this host have no ${controller} controller`
    }
    for (const [file, text] of Object.entries(also)) isWritten(join(directory, file), text)
    return undefined
  },
  memoryKills: () => Number(/^oom_kill (\d+)$/m.exec(readGroup(join(directory, "memory.events")))?.[1] ?? 0),
  pids: () => new Set(readGroup(join(directory, "cgroup.procs")).split("\n").filter(Boolean).map(Number)),
  kill: () => void isWritten(join(directory, "cgroup.kill"), "1"),
  end: end(directory),
})

/** Makes a group, all of which can be ended at once, as in kernels from 5.14; answers whether it may. */
const isMade = (directory: string): Effect.Effect<boolean> =>
  Effect.promise(async () => {
    try {
      await mkdir(directory)
      await access(join(directory, "cgroup.kill"), constants.W_OK)
      return true
    } catch {
      return false
    }
  })

/** Makes room for the groups of this host, named `owner`; `undefined` where it may not have any. */
export const make = Effect.fnUntraced(function* (
  owner: string,
): Effect.fn.Return<ControlGroups | undefined, never, Scope.Scope> {
  const base = yield* baseGroup
  // Processes get in by the system's shell.
  if (base === undefined || !existsSync("/bin/sh") || !(yield* UseControlGroups)) return undefined
  const directory = join(base, PREFIX + owner)
  yield* Effect.addFinalizer(() => Effect.ignore(Effect.try(() => rmdirSync(directory))))
  if (!(yield* isMade(directory))) return undefined
  return {
    directory,
    make: (run) => {
      const group = join(directory, run)
      return Effect.map(isMade(group), (made) => (made ? controlGroup(group, [base, directory]) : undefined))
    },
  }
})

/** Ends whoever is still in a group of a host that is dead. `identity` is this host's. */
export const endAbandoned = Effect.fnUntraced(function* (identity: string) {
  const base = yield* baseGroup
  const groups =
    base === undefined
      ? []
      : yield* Effect.orElseSucceed(
          Effect.try(() => readdirSync(base)),
          () => [],
        )
  const abandoned = groups.filter((name) => name.startsWith(PREFIX) && isDeadHost(name.slice(PREFIX.length), identity))
  yield* Effect.forEach(abandoned, (name) => end(join(base!, name)), { concurrency: "unbounded", discard: true })
})
