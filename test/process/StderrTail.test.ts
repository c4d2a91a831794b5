import { assert, describe, it } from "@effect/vitest"
import { StderrTail } from "../../src/process/StderrTail.ts"

const tailOf = (chunks: ReadonlyArray<string>): ReadonlyArray<string> => {
  const tail = new StderrTail()
  for (const chunk of chunks) tail.push(Buffer.from(chunk))
  return tail.lines()
}

describe("StderrTail", () => {
  it("keeps the last lines that say anything, however they come", () => {
    assert.deepStrictEqual(tailOf([]), [])
    assert.deepStrictEqual(tailOf(["a\r\n\n  \nb", "c\nunfinished"]), ["a", "bc", "unfinished"])
    const lines = Array.from({ length: 100_000 }, (_, index) => `line ${index}`)
    const last = lines.slice(-20)
    assert.deepStrictEqual(tailOf([lines.join("\n")]), last)
    assert.deepStrictEqual(tailOf(lines.map((line) => `${line}\n`)), last)
    for (const size of [7, 1000, 65_535, 65_536, 65_537]) {
      const text = lines.join("\n")
      const chunks = Array.from({ length: Math.ceil(text.length / size) }, (_, at) =>
        text.slice(at * size, (at + 1) * size),
      )
      assert.deepStrictEqual(tailOf(chunks), last, `in chunks of ${size}`)
    }
  })

  it("cuts what is long", () => {
    assert.deepStrictEqual(tailOf(["y".repeat(10_000), "\nend"]), ["y".repeat(2000), "end"])
  })
})
