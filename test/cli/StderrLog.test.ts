import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { toStderr } from "../../src/cli/StderrLog.ts"

describe("toStderr", () => {
  it.effect("keeps no more than some for a reader that does not read, and tells what it has lost", () =>
    Effect.gen(function* () {
      const written: Array<string> = []
      const stderr = {
        writableLength: 0,
        write: (text: unknown) => {
          written.push(String(text))
          stderr.writableLength += String(text).length
          return true
        },
      }
      yield* Effect.gen(function* () {
        yield* Effect.forEach(Array(20_000), () => Effect.logInfo("x".repeat(1000)))
        stderr.writableLength = 0
        yield* Effect.logInfo("last")
      }).pipe(Effect.provide(Logger.layer([toStderr(Logger.formatJson, stderr)])))
      assert.isBelow(written.join("").length, 9 * 1024 * 1024)
      const [told, last] = written.slice(-2).map((line) => JSON.parse(line))
      assert.match(told.message, /^nobody read the log: \d+ entries are lost$/)
      assert.strictEqual(told.level, "WARN")
      assert.strictEqual(last.message, "last")
    }),
  )

  it.effect.each([Logger.formatLogFmt, Logger.formatJson])("gives no command to a terminal", (format) =>
    Effect.gen(function* () {
      const written: Array<string> = []
      const stderr = { writableLength: 0, write: (text: unknown) => written.push(String(text)) > 0 }
      yield* Effect.logInfo("\u001b]0;title\u0007\u009b31m").pipe(
        Effect.annotateLogs({ "\u001b[2J": "\u007f", lines: "a\nb" }),
        Effect.provide(Logger.layer([toStderr(format, stderr)])),
      )
      assert.notMatch(written.join(""), /[^\P{Cc}\n]/u)
      assert.include(written.join(""), "\\u001b]0;title\\u0007\\u009b31m")
    }),
  )
})
