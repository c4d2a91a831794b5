import { readFileSync, readlinkSync } from "node:fs"
import { Cause, Duration, Effect, Exit, Runtime } from "effect"
import * as StderrLog from "./StderrLog.ts"

/**
 * How long a clean stop may take after something went wrong that nobody has caught: what is broken may be what stopping
 * needs. Plugins stop all at once, and have half of it.
 */
const FAULT_LIMIT = Duration.seconds(30)

/** Faults that are logged: one that repeats itself while the host stops says nothing new. */
const MAX_FAULTS = 10

/**
 * Whether a terminal that closes is not to end this process, since it was started by `nohup`. Node resets the signals
 * that were ignored when it starts, so that of `nohup` there is only its other trace: a terminal as stdin is replaced by
 * a /dev/null that can't be read from.
 */
const ignoresHangup = (): boolean => {
  try {
    const flags = /^flags:\s*(\d+)/m.exec(readFileSync("/proc/self/fdinfo/0", "utf8"))?.[1] ?? "0"
    return readlinkSync("/proc/self/fd/0") === "/dev/null" && (Number.parseInt(flags, 8) & 3) === 1
  } catch {
    return false
  }
}

const report = (message: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.provide(Effect.logError(message, cause), StderrLog.layer)

/**
 * Runs a program until it ends or is asked to. SIGINT, SIGTERM and the end of the terminal (SIGHUP) ask for a clean stop,
 * and having done so is a success. So does, as a last net, an exception that nobody has caught: it is logged, plugins
 * are told and end as always, and the exit code is 1. Who reads stdout and stderr may go away: the program goes on.
 */
export const runMain = <E, A>(program: Effect.Effect<A, E>): void =>
  run(
    Effect.tapCause(program, (cause) =>
      Cause.hasInterruptsOnly(cause) || !Runtime.getErrorReported(Cause.squash(cause))
        ? Effect.void
        : report("this host has failed", cause),
    ),
    { disableErrorReporting: true },
  )

const run = Runtime.makeRunMain(({ fiber, teardown }) => {
  let isAsked = false
  let faults = 0
  const stop = () => {
    isAsked = true
    fiber.interruptUnsafe(fiber.id)
  }
  process.on("SIGINT", stop)
  process.on("SIGTERM", stop)
  process.on("SIGHUP", () => ignoresHangup() || stop())

  const onFault = (error: unknown) => {
    if (faults++ < MAX_FAULTS) {
      Effect.runFork(report("something failed that nobody has caught; this host stops", Cause.die(error)))
    }
    if (faults > 1) return
    setTimeout(() => process.exit(1), Duration.toMillis(FAULT_LIMIT)).unref()
    stop()
  }
  process.on("uncaughtException", onFault)
  process.on("unhandledRejection", onFault)

  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {})

  fiber.addObserver((exit) =>
    teardown(exit, (code) => {
      if (faults > 0) process.exit(1)
      if (isAsked || code !== 0) process.exit(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? 0 : code)
    }),
  )
})
