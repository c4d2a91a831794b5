import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs"
import { join, relative } from "node:path"
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

/** The group that this process is in itself, as a folder; `undefined` where there is no cgroup v2 or it is out of view. */
export const ownGroup: Effect.Effect<string | undefined> = Effect.sync(() => {
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
  return below.startsWith("..") ? undefined : join(unescape(point), below)
})

/** Blanks and the like are in octal in mountinfo. */
const unescape = (path: string): string =>
  path.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** Removes a group and those within; fails while a process is in one of them. */
const removeTree = (directory: string): void => {
  for (const entry of onAnyDescriptor(() => readdirSync(directory, { withFileTypes: true }))) {
    if (entry.isDirectory()) removeTree(join(directory, entry.name))
  }
  rmdirSync(directory)
}

/** Ends everybody in a group; answers whether the group is gone, as it can be only once nobody is in it any more. */
const end = (directory: string): Effect.Effect<boolean> =>
  Effect.sync(() => {
    try {
      onAnyDescriptor(() => writeFileSync(join(directory, "cgroup.kill"), "1"))
      removeTree(directory)
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
  /** Ends everybody in it, and removes it; answers whether nobody is left. */
  readonly end: Effect.Effect<boolean>
}

/** The control groups of one host. */
export interface ControlGroups {
  /** The folder that holds them. */
  readonly directory: string
  /** Makes a group; `undefined` if it can't be made any more. */
  readonly make: (run: string) => ControlGroup | undefined
}

/** Makes a group, all of which can be ended at once, as in kernels from 5.14; answers whether it may. */
const isMade = (directory: string): boolean => {
  try {
    mkdirSync(directory)
    accessSync(join(directory, "cgroup.kill"), constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Makes room for the groups of this host, named `owner`; `undefined` where it may not have any. */
export const make = Effect.fnUntraced(function* (
  owner: string,
): Effect.fn.Return<ControlGroups | undefined, never, Scope.Scope> {
  const own = yield* ownGroup
  // Processes get in by the system's shell.
  if (own === undefined || !existsSync("/bin/sh") || !(yield* UseControlGroups)) return undefined
  const directory = join(own, PREFIX + owner)
  yield* Effect.addFinalizer(() => Effect.ignore(Effect.try(() => rmdirSync(directory))))
  if (!isMade(directory)) return undefined
  return {
    directory,
    make: (run) => {
      const group = join(directory, run)
      return isMade(group) ? { members: join(group, "cgroup.procs"), end: end(group) } : undefined
    },
  }
})

/** Ends whoever is still in a group of a host that is dead. `identity` is this host's. */
export const endAbandoned = Effect.fnUntraced(function* (identity: string) {
  const own = yield* ownGroup
  const groups =
    own === undefined
      ? []
      : yield* Effect.orElseSucceed(
          Effect.try(() => readdirSync(own)),
          () => [],
        )
  const abandoned = groups.filter((name) => name.startsWith(PREFIX) && isDeadHost(name.slice(PREFIX.length), identity))
  yield* Effect.forEach(abandoned, (name) => end(join(own!, name)), { concurrency: "unbounded", discard: true })
})
