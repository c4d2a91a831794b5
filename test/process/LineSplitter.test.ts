import { assert, describe, it } from "@effect/vitest"
import { LineSplitter, MAX_LINE } from "../../src/process/LineSplitter.ts"

const split = (...chunks: ReadonlyArray<string | Uint8Array>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const splitter = new LineSplitter((line) => lines.push(line))
  for (const chunk of chunks) splitter.push(Buffer.from(chunk))
  splitter.flush()
  return lines
}

describe("LineSplitter", () => {
  it("joins chunks into lines and drops the CR of a CRLF", () => {
    assert.deepStrictEqual(split("a", "b\r", "\nc\n\nd"), ["ab", "c", "", "d"])
  })

  it("keeps characters whole that chunks cut, and replaces invalid UTF-8", () => {
    const euro = Buffer.from("€\n")
    assert.deepStrictEqual(split(euro.subarray(0, 1), euro.subarray(1)), ["€"])
    assert.deepStrictEqual(split(Buffer.from([0xff, 0x41, 0x0a])), ["\uFFFDA"])
  })

  it("hands a line without end on in pieces, so that memory stays bounded", () => {
    const lines = split(...Array.from({ length: 40 }, () => "x".repeat(10_000)))
    assert.isAbove(lines.length, 1)
    assert.isTrue(lines.every((line) => line.length <= MAX_LINE))
    assert.strictEqual(lines.join("").length, 400_000)
  })
})
