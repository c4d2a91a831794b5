import { assert, describe, it } from "@effect/vitest"
import { LogParser, shownLine } from "../../src/goplugin/LogLine.ts"

const parseAll = (...lines: ReadonlyArray<string>) => {
  const parser = new LogParser()
  return lines.map((line) => parser.parse(line))
}

describe("LogParser", () => {
  it("reads hclog's JSON with its fields", () => {
    const line = `{"@level":"WARN","@message":"m","@module":"x","@timestamp":"2026-11-23T02:29:44.547673Z","foo":12}`
    assert.deepStrictEqual(parseAll(line), [
      {
        level: "Warn",
        message: "m",
        fields: { "@module": "x", foo: 12, timestamp: "2026-11-23T02:29:44.547673Z" },
      },
    ])
  })

  it("survives whatever is JSON, or nearly", () => {
    const lines = [`["x"]`, `12345`, `{"@message":1}`, `{"@level":"loud","@message":"m"}`, `{"@level":`, `{}`, `null`]
    assert.deepStrictEqual(
      parseAll(...lines).map(({ level, message }) => [level, message]),
      lines.map((line) => ["Debug", line]),
    )
    assert.strictEqual(parseAll(`{"@level":"info","@message":{"a":1}}`)[0]?.message, `{"a":1}`)
  })

  it("leaves what no logger could write the text it is", () => {
    const deep = "[".repeat(30_000) + "]".repeat(30_000)
    const lines = [`{"@level":"info","@message":"m","a":${deep}}`, `{"@level":"info","@message":${deep}}`]
    assert.deepStrictEqual(
      parseAll(...lines),
      lines.map((message) => ({ level: "Info", message, fields: {} })),
    )
  })

  it("takes the level of a prefix and keeps the prefix", () => {
    assert.deepStrictEqual(parseAll("[WARN] careful"), [{ level: "Warn", message: "[WARN] careful", fields: {} }])
    assert.strictEqual(parseAll(" [WARN] not at the beginning")[0]?.level, "Debug")
  })

  it("takes the levels of Python's logging, as people configure it", () => {
    const levels: ReadonlyArray<readonly [string, string]> = [
      ["DEBUG:root:x", "Debug"],
      ["WARNING:my.module:careful", "Warn"],
      ["CRITICAL:x:y", "Error"],
      ["2026-01-31 12:00:00,123 [ERROR] x", "Error"],
      ["2026-01-31 12:00:00,123 - my.module - WARNING - x", "Warn"],
      ["2026-01-31T12:00:00.123456+00:00 INFO x", "Info"],
      ["2026-01-31 12:00:00,123 my.module ERROR: x", "Error"],
      ["2026-01-31 12:00:00,123 INFO     no ERROR at all", "Info"],
      ["2026-01-31 12:00:00 and so on: ERROR", "Debug"],
      ["ERRORS:are:none", "Debug"],
      ["ERROR: x", "Debug"],
      ["Date: ERROR", "Debug"],
    ]
    assert.deepStrictEqual(
      parseAll(...levels.map(([line]) => line)),
      levels.map(([message, level]) => ({ level, message, fields: {} })),
    )
    const parser = new LogParser()
    for (const [line] of levels.slice(0, 8)) assert.isFalse(parser.isPlain(Buffer.from(line), 0), line)
  })

  it("takes a Go panic, and all that follows, for errors", () => {
    const levels = parseAll("before", "panic: oh no", "", "goroutine 1 [running]:", "[INFO] still logging", "main.go:1")
    assert.deepStrictEqual(
      levels.map(({ level }) => level),
      ["Debug", "Error", "Error", "Error", "Info", "Error"],
    )
  })

  it("takes a Python traceback for errors, to its exception's line", () => {
    const lines = parseAll("Traceback (most recent call last):", `  File "x.py", line 1`, "ValueError: no", "after")
    assert.deepStrictEqual(
      lines.map(({ level }) => level),
      ["Error", "Error", "Error", "Debug"],
    )
  })

  it("is shown to people by what it says, and not at all when it is for debugging", () => {
    const shown = (entry: object) => shownLine(JSON.stringify({ "@timestamp": "t", ...entry }))
    assert.deepStrictEqual(shown({ "@level": "error", "@message": "it broke\n  at x\n\nValueError: no", k: 1 }), [
      "[ERROR] it broke",
      "  at x",
      "ValueError: no",
    ])
    assert.deepStrictEqual(shown({ "@level": "debug", "@message": "Loaded running loop" }), [])
    for (const line of ["plain", "{not json", "[DEBUG] of somebody's", '{"a":1}']) {
      assert.deepStrictEqual(shownLine(line), [line])
    }
  })
})
