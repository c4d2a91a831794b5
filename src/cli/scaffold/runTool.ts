import { execFile } from "node:child_process"
import { Effect } from "effect"
import { type CommandError, failed } from "../CommandError.ts"

/** The most that a tool may print, in bytes. */
const MAX_OUTPUT = 256 * 1024 * 1024

/** Lines of what a tool has printed that an error has. */
const MAX_LINES = 20

/** Runs a tool to its end; answers what it has printed on stdout. */
export const runTool = (
  command: string,
  args: ReadonlyArray<string>,
  cwd: string,
  input: Uint8Array = new Uint8Array(),
): Effect.Effect<Buffer, CommandError> =>
  Effect.callback<Buffer, CommandError>((resume) => {
    const child = execFile(
      command,
      args,
      { cwd, encoding: "buffer", maxBuffer: MAX_OUTPUT },
      (error, stdout, stderr) => {
        if (error === null) return resume(Effect.succeed(stdout))
        if (error.code === "ENOENT")
          return resume(Effect.fail(failed(`there is no ${command} on the PATH; install it`)))
        const lines = stderr.toString().trim().split("\n").slice(-MAX_LINES).join("\n")
        resume(Effect.fail(failed(`${[command, ...args].join(" ")}: ${lines === "" ? error.message : lines}`)))
      },
    )
    // Whoever does not read all of it says why by how it ends.
    child.stdin?.on("error", () => {})
    child.stdin?.end(input)
    return Effect.sync(() => child.kill())
  })
