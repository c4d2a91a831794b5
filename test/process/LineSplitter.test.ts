import { assert, describe, it } from "@effect/vitest"
import { LineSplitter, MAX_LINE } from "../../src/process/LineSplitter.ts"

const split = (...chunks: ReadonlyArray<string | Uint8Array>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const splitter = new LineSplitter((bytes, start, end) => lines.push(bytes.toString("utf8", start, end)))
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
    for (const character of ["€", "é", "😀", "x"]) {
      for (const shift of ["", "a", "ab", "abc"]) {
        const long = shift + character.repeat(50_000)
        assert.strictEqual(split(`${long}\n`, long).join(""), long + long, "no piece cuts a character")
      }
    }
    assert.strictEqual(split(Buffer.alloc(200_000, 0x80)).join(""), "\uFFFD".repeat(200_000))
  })
})
