import { assert, describe, it } from "@effect/vitest"
import { LogParser } from "../../src/goplugin/LogLine.ts"

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
})
