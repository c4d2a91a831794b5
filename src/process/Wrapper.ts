import { constants } from "node:fs"
import { access } from "node:fs/promises"
import { resolve } from "node:path"
import { Effect } from "effect"
import { readHeader } from "./ExecutableDiagnosis.ts"
import type { ProcessSpec } from "./ProcessSpec.ts"
import { setprivAs } from "./ProcessUser.ts"

/** What is executed, and with which arguments. */
export type CommandLine = readonly [executable: string, args: ReadonlyArray<string>]

/** What a process is to be before it becomes the plugin. */
export interface Wrapping {
  /** The path of util-linux' `setpriv`, where there is one: for the parent-death signal, and another user. */
  readonly setpriv: string | undefined
  /** The path of util-linux' `prlimit`, and its arguments; none where there is nothing to limit. */
  readonly prlimit: CommandLine | undefined
  /** The file that takes the members of its control group. */
  readonly members: string | undefined
  /** What it is to have as its `oom_score_adj`, if not what the host has. */
  readonly oomScore: number | undefined
}

/** The signal of a plugin whose specification names none; nothing can ignore it. */
const PARENT_DEATH_SIGNAL = "SIGKILL"

/**
 * Writes `$1` to the file `$2`, if it may, or its own id where that is empty: the control group, if it is there still. Then it
 * takes the next two; when there is a `--` it becomes the rest.
 */
const WRITE = `while [ "$1" != -- ]; do { echo "\${1:-$$}" >"$2"; } 2>/dev/null; shift 2; done; shift; exec "$@"`

/**
 * A plugin's command inside what has to happen first, by programs that then become the plugin: its id stays the same. A shell
 * enters the control group; `prlimit` sets limits that whoever is not root can't raise again; `setpriv` changes the user, and
 * asks for the parent-death signal last, since a change of the user takes it back.
 */
export const wrap = (spec: ProcessSpec, { members, oomScore, prlimit, setpriv }: Wrapping): CommandLine => {
  const { args, env, executable, parentDeathSignal = PARENT_DEATH_SIGNAL, user } = spec
  const privileges = [
    ...(user === undefined ? [] : setprivAs(user)),
    ...(parentDeathSignal === false ? [] : ["--pdeathsig", parentDeathSignal.slice(3)]),
  ]
  let command: CommandLine = [executable, args]
  const inside = (program: string, args: ReadonlyArray<string>) =>
    void (command = [program, [...args, command[0], ...command[1]]])
  if (setpriv !== undefined && privileges.length > 0) inside(setpriv, [...privileges, "--"])
  if (prlimit !== undefined) inside(prlimit[0], [...prlimit[1], "--"])
  const writes = [
    ...(members === undefined ? [] : ["", members]),
    ...(oomScore === undefined ? [] : [String(oomScore), "/proc/self/oom_score_adj"]),
  ]
  // `PWD` is the shell's own doing.
  if (writes.length > 0)
    inside("/bin/sh", ["-c", env["PWD"] === undefined ? `unset PWD; ${WRITE}` : WRITE, "sh", ...writes, "--"])
  return command
}

/**
 * Whether programs of the system can start in a plugin's environment, and hand all of it on: they would load the
 * plugin's own libraries, and shells drop names that none of their variables can have.
 */
export const canWrap = (env: ProcessSpec["env"]): boolean =>
  Object.keys(env).every((name) => /^[A-Za-z_]\w*$/.test(name) && !/^(LD|DYLD)_/.test(name))

/**
 * Why the system would refuse to execute a file, if it would; a wrapper that is refused could only say so by its exit
 * code. A script's interpreter must be there too.
 */
export const refusal = ({ cwd, executable }: ProcessSpec): Effect.Effect<Error | undefined> =>
  Effect.promise(async () => {
    try {
      // Otherwise it is looked for in the PATH.
      if (!executable.includes("/")) return undefined
      const file = resolve(cwd, executable)
      await access(file, constants.X_OK)
      const interpreter = /^#!\s*(\S+)/.exec((await readHeader(file).catch(() => "")).toString())?.[1]
      if (interpreter !== undefined) await access(resolve(cwd, interpreter), constants.X_OK)
      return undefined
    } catch (error) {
      return error as Error
    }
  })
