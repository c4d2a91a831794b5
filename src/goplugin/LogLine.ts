import { Effect, Option, Schema } from "effect"
import { jsonProblem } from "../rpc/MessageCheck.ts"

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

/** Levels of Python's `logging`. */
const PYTHON_LEVELS: { readonly [name: string]: LogLevel } = {
  DEBUG: "Debug",
  INFO: "Info",
  WARNING: "Warn",
  ERROR: "Error",
  CRITICAL: "Error",
}

/** `ERROR:name:text`, as `logging.basicConfig` has it. */
const PYTHON_BASIC = /^(DEBUG|INFO|WARNING|ERROR|CRITICAL):[^\s:]+:/

/** `2026-01-31 12:00:00,123 [ERROR] text`, `2026-01-31 12:00:00,123 - name - ERROR - text` and the like. */
const PYTHON_DATED =
  /^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\S{0,16}\s+(?:-\s+)?(?:[\w.]{1,80}\s+(?:-\s+)?)?[[(]?(DEBUG|INFO|WARNING|ERROR|CRITICAL)[\])]?(?=[\s:-]|$)/

const GO_PANIC = /^(panic: |fatal error: )/
const PYTHON_TRACEBACK = "Traceback (most recent call last):"

/** How lines begin that are not plain text, whatever follows. */
const NOTABLE: ReadonlySet<number | undefined> = new Set(Buffer.from("[{pfTDIWEC0123456789"))

/** How lines begin that are errors: those of hclog and of our SDK name the level first. */
const ERRORS: ReadonlyArray<Buffer> = [
  '{"@level":"error"',
  "[ERROR]",
  "ERROR:",
  "CRITICAL:",
  "panic: ",
  "fatal error: ",
  PYTHON_TRACEBACK,
].map((text) => Buffer.from(text))

/**
 * Understands a plugin's stderr line by line (go-plugin 1.8, `client.go` `logStderr`): hclog's JSON, a `[LEVEL]` prefix,
 * Go's panics, and, beyond go-plugin, Python's tracebacks, and its `logging` as people configure it. Everything else is a
 * debug line. Nothing a plugin writes can make it fail.
 */
export class LogParser {
  /** A Go panic goes on until the process ends; a traceback until its exception line, the first that is not indented. */
  #failing: "panic" | "traceback" | undefined

  /** Whether {@link parse} would take the line that begins at `start` for plain text, at Debug. */
  isPlain(bytes: Buffer, start: number): boolean {
    return this.#failing === undefined && !NOTABLE.has(bytes[start])
  }

  /** Whether a line belongs to an error, as far as that can be told without reading it. */
  isError(bytes: Buffer, start: number, end: number): boolean {
    if (this.#failing !== undefined) return true
    return ERRORS.some(
      (error) => bytes[start] === error[0] && error.equals(bytes.subarray(start, Math.min(start + error.length, end))),
    )
  }

  /** Passes over a line that is not parsed, which may have been the last of a traceback. */
  skip(bytes: Buffer, start: number): void {
    if (this.#failing === "traceback" && bytes[start] !== 0x20 && bytes[start] !== 0x09) this.#failing = undefined
  }

  parse(line: string): LogLine {
    const entry = line.startsWith("{") ? Option.getOrUndefined(parseHclog(line)) : undefined
    if (entry !== undefined) return entry
    const prefix = LEVEL_PREFIX.exec(line)?.[1]
    if (prefix !== undefined) return text(LEVELS[prefix.toLowerCase()]!, line)
    const python = (PYTHON_BASIC.exec(line) ?? PYTHON_DATED.exec(line))?.[1]
    if (python !== undefined) return text(PYTHON_LEVELS[python]!, line)
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
  Option.flatMap(decodeObject(line), (entry) => {
    const { "@level": level, "@message": message, "@timestamp": timestamp, ...fields } = entry
    const known = typeof level === "string" ? LEVELS[level.toLowerCase()] : undefined
    if (known === undefined) return Option.none()
    // Whoever writes JSON does so by recursion: what is nested deep enough for that to fail stays the text it is.
    if (jsonProblem(entry) !== undefined) return Option.some(text(known, line))
    return Option.some({
      level: known,
      message: typeof message === "string" ? message : JSON.stringify(message ?? ""),
      fields: timestamp === undefined ? fields : { ...fields, timestamp },
    })
  })

/** What a line of stderr has to tell people of a failure: of a structured one its message, and nothing of one for debugging. */
export const shownLine = (line: string): ReadonlyArray<string> => {
  const entry = line.startsWith("{") ? Option.getOrUndefined(parseHclog(line)) : undefined
  if (entry === undefined) return [line]
  if (entry.level === "Debug" || entry.level === "Trace") return []
  return `[${entry.level.toUpperCase()}] ${entry.message}`.split("\n").filter((part) => part.trim() !== "")
}

/** Writes a plugin's line to the log; `source` says which of its outputs it came from. */
export const logLine = (pluginId: string, source: string, { fields, level, message }: LogLine): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logWithLevel(level)(message), { ...fields, plugin_id: pluginId, source })
