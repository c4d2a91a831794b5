import { Clock, Duration, Effect, Latch, LogLevel, References, type Scope } from "effect"
import { LineSplitter } from "../process/LineSplitter.ts"
import { LogBudget, PluginLogRate } from "./LogBudget.ts"
import { type LogLine, logLine, LogParser } from "./LogLine.ts"

/** One of a plugin's outputs, on its way to the log. */
export interface LogSource {
  /** Takes what has come. It never waits: what is too much is left out. */
  readonly push: (chunk: Uint8Array) => void
  /** Takes a last line that has no end. */
  readonly flush: () => void
}

/** What a plugin prints and logs, by whatever way, as entries of the host's log: one budget, one fiber. */
export interface PluginLog {
  /**
   * An output by its name in the log. Each line is understood by the `LogParser` (`parsed`), or is at Info.
   */
  readonly source: (name: string, kind: "parsed" | "printed") => LogSource
  /** A single line. */
  readonly line: (source: string, line: LogLine) => void
}

/** Of errors so much is logged although the budget is spent: they are why somebody reads the log. */
const ERROR_SHARE = 0.1

/** Lines logged at one go; then others have their turn. */
const BATCH = 50

/** How often it is logged what was left out, while something is. */
const REPORT_INTERVAL = Duration.seconds(5)

/** How long what waits to be logged may take when the plugin has ended. */
const END_LIMIT = Duration.seconds(1)

/**
 * Opens a plugin's log; it closes with the Scope, when all that has come is logged. With `isVerbose` that is all from Debug on,
 * whatever the host logs of itself.
 */
export const make = Effect.fnUntraced(function* (
  pluginId: string,
  isVerbose = false,
): Effect.fn.Return<PluginLog, never, Scope.Scope> {
  const rate = yield* PluginLogRate
  const clock = yield* Clock.clockWith(Effect.succeed)
  const hosts = yield* References.MinimumLogLevel
  const minimum = isVerbose && LogLevel.isGreaterThan(hosts, "Debug") ? "Debug" : hosts
  const isLogged = (level: LogLine["level"]) => LogLevel.isGreaterThanOrEqualTo(level, minimum)
  const debugIsLogged = isLogged("Debug")

  const now = () => clock.currentTimeMillisUnsafe()
  const budget = new LogBudget(rate, now())
  const errors = new LogBudget(rate * ERROR_SHARE, now())
  const waiting: Array<readonly [source: string, line: LogLine]> = []
  const sources: Array<LogSource> = []
  const wake = Latch.makeUnsafe(false)
  let left = { lines: 0, bytes: 0 }

  const add = (source: string, line: LogLine) => {
    if (!isLogged(line.level)) return
    waiting.push([source, line])
    wake.openUnsafe()
  }
  const leaveOut = (bytes: number) => {
    left.lines++
    left.bytes += bytes
    wake.openUnsafe()
  }

  const source = (name: string, kind: "parsed" | "printed"): LogSource => {
    const parser = kind === "parsed" ? new LogParser() : undefined
    const splitter = new LineSplitter((bytes, start, end) => {
      const length = end - start
      if (length === 0) return
      // Nobody would see it.
      if (!debugIsLogged && parser?.isPlain(bytes, start) === true) return
      if (budget.take(length) || (parser?.isError(bytes, start, end) === true && errors.take(length))) {
        const text = bytes.toString("utf8", start, end)
        add(name, parser?.parse(text) ?? { level: "Info", message: text, fields: {} })
      } else {
        parser?.skip(bytes, start)
        leaveOut(length)
      }
    })
    const made: LogSource = {
      push: (chunk) => {
        budget.fill(now())
        errors.fill(now())
        splitter.push(chunk)
      },
      flush: () => splitter.flush(),
    }
    sources.push(made)
    return made
  }

  const report = Effect.suspend(() => {
    if (left.lines === 0) return Effect.void
    const { bytes, lines } = left
    left = { lines: 0, bytes: 0 }
    return Effect.logWarning(
      `plugin ${pluginId} wrote more than ${rate} lines a second: ${lines} lines, ${bytes} bytes were left out of the log`,
    ).pipe(Effect.annotateLogs({ plugin_id: pluginId }))
  })
  const drain = Effect.whileLoop({
    while: () => waiting.length > 0,
    body: () =>
      Effect.forEach(waiting.splice(0, BATCH), ([source, line]) => logLine(pluginId, source, line), {
        discard: true,
      }).pipe(
        Effect.provideService(References.MinimumLogLevel, minimum),
        Effect.uninterruptible,
        Effect.andThen(Effect.yieldNow),
      ),
    step: () => {},
  })

  yield* Effect.addFinalizer(() => {
    for (const { flush } of sources) flush()
    return drain.pipe(Effect.timeoutOrElse({ duration: END_LIMIT, orElse: () => Effect.void }), Effect.andThen(report))
  })
  let reported = now()
  yield* Effect.gen(function* () {
    // What was left out is told although nothing more comes.
    yield* left.lines === 0 ? wake.await : Effect.timeoutOption(wake.await, REPORT_INTERVAL)
    wake.closeUnsafe()
    yield* drain
    if (now() - reported < Duration.toMillis(REPORT_INTERVAL)) return
    reported = now()
    yield* report
  }).pipe(Effect.forever, Effect.forkScoped)
  return { source, line: add }
})
