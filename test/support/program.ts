/** A program that a test runs beside itself. */
import { type SpawnOptions, spawn } from "node:child_process"
import { Effect } from "effect"
import { eventually } from "./host.ts"

/** Starts a program, and keeps what it prints. It is sent SIGTERM when the Scope ends, and has to end then. */
export const program = Effect.fnUntraced(function* (
  command: string,
  args: ReadonlyArray<string>,
  options: Pick<SpawnOptions, "cwd" | "env"> = {},
) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] })),
    (child) =>
      Effect.andThen(
        Effect.sync(() => child.kill("SIGTERM")),
        Effect.orDie(eventually("it has stopped", () => child.exitCode !== null || child.signalCode !== null)),
      ),
  )
  let output = ""
  let log = ""
  child.stdout.on("data", (chunk) => (output += String(chunk)))
  child.stderr.on("data", (chunk) => (log += String(chunk)))
  return { child, output: () => output, log: () => log }
})
