import { assert, describe, it } from "@effect/vitest"
import { streamTable } from "../../src/ttrpc/StreamTable.ts"

describe("the calls of a connection", () => {
  it("are found by their streams, however far apart those are", () => {
    const table = streamTable<{ readonly stream: number }>()
    const known = new Map<number, { readonly stream: number }>()
    // Some share a slot with others, and each third stays.
    const streams = Array.from({ length: 5000 }, (_, index) => (index * 2 + 1 + (index % 4) * 2 ** 30) % 2 ** 32)
    for (const [index, stream] of streams.entries()) {
      const call = { stream }
      table.set(stream, call)
      known.set(stream, call)
      const before = streams[index - 700]
      if (before !== undefined && index % 3 > 0) assert.strictEqual(table.delete(before), known.delete(before))
    }
    assert.isBelow(known.size, streams.length)
    assert.strictEqual(table.size(), known.size)
    for (const stream of streams) assert.strictEqual(table.get(stream), known.get(stream))
    assert.sameMembers([...table.all()], [...known.values()])
    for (const stream of known.keys()) assert.isTrue(table.delete(stream))
    for (const stream of streams) assert.isFalse(table.delete(stream))
    assert.strictEqual(table.size(), 0)
    assert.deepStrictEqual(table.all(), [])
  })
})
