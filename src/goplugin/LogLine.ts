import { Effect, Option, Schema } from "effect"

/** Severity of a plugin's log line, named as Effect's log levels are. */
export type LogLevel = "Trace" | "Debug" | "Info" | "Warn" | "Error"

/** One line of a plugin's stderr, understood. */
export interface LogLine {
  readonly level: LogLevel
  readonly message: string
  /** What the plugin logged beside the message. */
  readonly fields: { readonly [key: string]: unknown }
}

const LEVELS: { readonly [name: string]: LogLevel } = {
  trace: "Trace",
  debug: "Debug",
  info: "Info",
  warn: "Warn",
  error: "Error",
}

const decodeObject = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))

const LEVEL_PREFIX = /^\[(TRACE|DEBUG|INFO|WARN|ERROR)\]/
const GO_PANIC = /^(panic: |fatal error: )/
const PYTHON_TRACEBACK = "Traceback (most recent call last):"

/**
 * Understands a plugin's stderr line by line (go-plugin 1.8, `client.go` `logStderr`): hclog's JSON, a `[LEVEL]` prefix,
 * Go's panics, and, beyond go-plugin, Python's tracebacks. Everything else is a debug line. Nothing a plugin writes can
 * make it fail.
 */
export class LogParser {
  /** A Go panic goes on until the process ends; a traceback until its exception line, the first that is not indented. */
  #failing: "panic" | "traceback" | undefined

  parse(line: string): LogLine {
    const entry = line.startsWith("{") ? Option.getOrUndefined(parseHclog(line)) : undefined
    if (entry !== undefined) return entry
    const prefix = LEVEL_PREFIX.exec(line)?.[1]
    if (prefix !== undefined) return text(LEVELS[prefix.toLowerCase()]!, line)
    if (GO_PANIC.test(line)) this.#failing = "panic"
    else if (line === PYTHON_TRACEBACK) this.#failing = "traceback"
    else if (this.#failing === "traceback" && !/^\s/.test(line)) {
      this.#failing = undefined
      return text("Error", line)
    }
    return text(this.#failing === undefined ? "Debug" : "Error", line)
  }
}

const text = (level: LogLevel, message: string): LogLine => ({ level, message, fields: {} })

const parseHclog = (line: string): Option.Option<LogLine> =>
  Option.flatMap(decodeObject(line), ({ "@level": level, "@message": message, "@timestamp": timestamp, ...fields }) => {
    const known = typeof level === "string" ? LEVELS[level.toLowerCase()] : undefined
    if (known === undefined) return Option.none()
    return Option.some({
      level: known,
      message: typeof message === "string" ? message : JSON.stringify(message ?? ""),
      fields: timestamp === undefined ? fields : { ...fields, timestamp },
    })
  })

/** Writes a plugin's line to the log; `source` says which of its outputs it came from. */
export const logLine = (pluginId: string, source: string, { fields, level, message }: LogLine): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logWithLevel(level)(message), { ...fields, plugin_id: pluginId, source })
