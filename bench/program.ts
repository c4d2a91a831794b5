/** Programs beside the bench that are asked, line by line. */
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { Cause, Effect, Queue, type Scope } from "effect"

/** A program that runs. */
export interface Program {
  readonly pid: number
  /** The next line that it writes; fails when the program has ended. */
  readonly line: Effect.Effect<string, Error>
  /** Writes a line, and answers the next one. */
  readonly ask: (line: string) => Effect.Effect<string, Error>
}

/** Starts a program, whose stdin ends with the Scope: that ends it. */
export const program = Effect.fnUntraced(function* (
  command: string,
  args: ReadonlyArray<string>,
  env: NodeJS.ProcessEnv = process.env,
): Effect.fn.Return<Program, never, Scope.Scope> {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(command, args, { env, stdio: ["pipe", "pipe", "inherit"] })),
    (child) => Effect.sync(() => child.stdin.end()),
  )
  const lines = yield* Queue.unbounded<string, Error>()
  const fail = (why: string) => Queue.failCauseUnsafe(lines, Cause.fail(new Error(`${command} ${why}`)))
  child.on("error", ({ message }) => fail(message))
  // What it could not read any more is told by its end.
  child.stdin.on("error", () => {})
  createInterface(child.stdout)
    .on("line", (line) => Queue.offerUnsafe(lines, line))
    .on("close", () => fail("has ended"))
  const line = Queue.take(lines)
  return {
    pid: child.pid!,
    line,
    ask: (asked) =>
      Effect.andThen(
        Effect.sync(() => child.stdin.write(`${asked}\n`)),
        line,
      ),
  }
})
