/** The command line as a process: what it prints, and its exit code. */
import { execFile } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { Effect } from "effect"
import { inject } from "vitest"

export const main = resolve(import.meta.dirname, "../../src/main.ts")

/** The environment of commands: Python plugins find the interpreter with the SDK, and nothing of the developer's is set. */
export const cliEnvironment = (variables: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => {
  const python = inject("python")
  return {
    ...process.env,
    PATH: `${"bin" in python ? `${python.bin}:` : ""}${process.env["PATH"]}`,
    PLUGIN_SUPERVISOR_URL: undefined,
    PLUGIN_SUPERVISOR_TOKEN: undefined,
    NO_COLOR: "1",
    ...variables,
  }
}

/** Puts `plugin-supervisor` into a folder, as an installed package has it; answers a PATH with that folder. */
export const installedCli = (folder: string): string => {
  const bin = join(folder, "bin")
  mkdirSync(bin)
  const script = `#!/bin/sh\nexec ${process.execPath} --conditions=effect-plugin-supervisor-source ${main} "$@"\n`
  writeFileSync(join(bin, "plugin-supervisor"), script, { mode: 0o755 })
  return `${bin}:${cliEnvironment()["PATH"]}`
}

/** How a command has ended. */
export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end, without a terminal. */
export const cli = (
  args: ReadonlyArray<string>,
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Effect.Effect<Ended> =>
  Effect.callback<Ended>((resume) => {
    const child = execFile(
      process.execPath,
      ["--conditions=effect-plugin-supervisor-source", main, ...args],
      { cwd: options.cwd, env: cliEnvironment(options.env), maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) =>
        resume(Effect.succeed({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr })),
    )
    child.stdin?.end()
    return Effect.sync(() => child.kill("SIGKILL"))
  })
