import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, References, Scope } from "effect"
import { TestClock } from "effect/testing"
import { PluginLogRate } from "../../src/goplugin/LogBudget.ts"
import * as PluginLog from "../../src/goplugin/PluginLog.ts"
import { recordLog } from "../support/log.ts"

const lines = (count: number, text: string) => Buffer.from(`${text}\n`.repeat(count))

/** A log that may have ten lines a second, a hundred at once, and as many kibibytes. */
const open = Effect.gen(function* () {
  const scope = yield* Scope.make()
  const log = yield* PluginLog.make("talker").pipe(Scope.provide(scope))
  return { source: log.source("plugin_stderr", "parsed"), close: Scope.close(scope, Exit.void), log }
}).pipe(Effect.provideService(PluginLogRate, 10))

describe("PluginLog", () => {
  it.effect("logs what its rate allows and tells how much it left out", () => {
    const { entries, layer, messages } = recordLog()
    return Effect.gen(function* () {
      const { close, source } = yield* open
      source.push(lines(250, "first"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(messages().filter((message) => message === "first").length, 100)
      source.push(lines(50, "second"))
      yield* Effect.forEach(Array(12), () => TestClock.adjust("1 second"))
      assert.strictEqual(messages().filter((message) => message === "second").length, 10)
      const told = "plugin talker wrote more than 10 lines a second: 190 lines, 990 bytes were left out of the log"
      assert.deepStrictEqual(entries.at(-1), { level: "Warn", message: told, fields: { plugin_id: "talker" } })
      // Bytes count, too: a line of 64 KiB is worth sixty.
      yield* TestClock.adjust("10 seconds")
      source.push(Buffer.from(`${"y".repeat(65_536)}\n`.repeat(3)))
      source.push(Buffer.from("an end without a line's end"))
      yield* close
      assert.deepStrictEqual(
        messages()
          .slice(-3)
          .map((message) => message.slice(0, 60)),
        ["y".repeat(60), "y".repeat(60), "plugin talker wrote more than 10 lines a second: 2 lines, 65"],
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("logs what is for debugging where its plugin is to, whatever the host logs of itself", () => {
    const { layer, messages } = recordLog()
    return Effect.gen(function* () {
      for (const isVerbose of [true, false]) {
        const scope = yield* Scope.make()
        const log = yield* PluginLog.make("talker", isVerbose).pipe(Scope.provide(scope))
        log
          .source("plugin_stderr", "parsed")
          .push(Buffer.from('{"@level":"debug","@message":"why"}\n{"@level":"trace","@message":"x"}\n'))
        yield* Scope.close(scope, Exit.void)
      }
      assert.deepStrictEqual(messages(), ["why"])
    }).pipe(Effect.provideService(References.MinimumLogLevel, "Info"), Effect.provide(layer))
  })

  it.effect("has some room for errors left when all else is spent", () => {
    const { entries, layer } = recordLog()
    return Effect.gen(function* () {
      const { close, source } = yield* open
      source.push(lines(1000, `{"@level":"info","@message":"flood"}`))
      const traceback = `Traceback (most recent call last):\n  File "x.py", line 1\nValueError: no`
      source.push(Buffer.from(`${traceback}\nflood\n{"@level":"error","@message":"hclog's"}\n[ERROR] and this\n`))
      source.push(lines(100, "[ERROR] as many as that are not"))
      yield* close
      assert.deepStrictEqual(
        entries.filter(({ level }) => level === "Error").map(({ message }) => message),
        [...traceback.split("\n"), "hclog's", "[ERROR] and this", ...Array(5).fill("[ERROR] as many as that are not")],
      )
      assert.include(entries.at(-1)!.message, "996 lines")
    }).pipe(Effect.provide(layer))
  })

  it.effect("knows a traceback's end although it was left out", () => {
    const { entries, layer } = recordLog()
    return Effect.gen(function* () {
      const { close, source } = yield* open
      source.push(lines(1000, "flood"))
      source.push(lines(1000, "Traceback (most recent call last):"))
      source.push(Buffer.from("ValueError: no\n"))
      yield* TestClock.adjust("1 second")
      source.push(Buffer.from("no error any more\n"))
      yield* close
      const last = entries.find(({ message }) => message === "no error any more")
      assert.strictEqual(last?.level, "Debug")
    }).pipe(Effect.provide(layer))
  })

  it.effect("does not count what nobody would see", () => {
    const { layer, messages } = recordLog()
    return Effect.gen(function* () {
      const { close, source } = yield* open
      source.push(lines(10_000, "debug"))
      source.push(Buffer.from("[WARN] careful\n[WARN] and without an end"))
      yield* close
      assert.deepStrictEqual(messages(), ["[WARN] careful", "[WARN] and without an end"])
    }).pipe(Effect.provideService(References.MinimumLogLevel, "Info"), Effect.provide(layer))
  })
})
