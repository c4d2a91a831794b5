import { constants } from "node:fs"
import { access } from "node:fs/promises"
import { resolve } from "node:path"
import { Effect } from "effect"
import { readHeader } from "./ExecutableDiagnosis.ts"
import type { ProcessSpec } from "./ProcessSpec.ts"

/** What is executed, and with which arguments. */
export type CommandLine = readonly [executable: string, args: ReadonlyArray<string>]

/** What a process is to be before it becomes the plugin. */
export interface Wrapping {
  /** The path of util-linux' `setpriv`, where there is a parent-death signal to ask for. */
  readonly setpriv: string | undefined
  /** The file that takes the members of its control group. */
  readonly members: string | undefined
}

/** The signal of a plugin whose specification names none; nothing can ignore it. */
const PARENT_DEATH_SIGNAL = "SIGKILL"

/** Joins the control group `$1`, if it is there still, and becomes the rest; `PWD` is the shell's own doing. */
const JOIN = `{ echo $$ >"$1"; } 2>/dev/null; shift; exec "$@"`

/** A plugin's command inside what has to happen first, by programs that then become the plugin: its id stays the same. */
export const wrap = (spec: ProcessSpec, { members, setpriv }: Wrapping): CommandLine => {
  const { args, env, executable, parentDeathSignal = PARENT_DEATH_SIGNAL } = spec
  const plain: CommandLine = [executable, args]
  const withSignal: CommandLine =
    setpriv === undefined || parentDeathSignal === false
      ? plain
      : [setpriv, ["--pdeathsig", parentDeathSignal.slice(3), "--", executable, ...args]]
  if (members === undefined) return withSignal
  const script = env["PWD"] === undefined ? `unset PWD; ${JOIN}` : JOIN
  return ["/bin/sh", ["-c", script, "sh", members, withSignal[0], ...withSignal[1]]]
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
