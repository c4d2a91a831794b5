import { assert, describe, it } from "@effect/vitest"
import { isLater, nextId } from "../../src/ttrpc/StreamIds.ts"

const LAST = 2 ** 32 - 1

describe("the ids of streams", () => {
  it("are odd, grow, and begin again", () => {
    assert.deepStrictEqual([nextId(undefined), nextId(1), nextId(LAST - 2), nextId(LAST)], [1, 3, LAST, 1])
  })

  it("are later where they come next, whichever is larger", () => {
    for (const [id, last] of [
      [1, undefined],
      [LAST, undefined],
      [3, 1],
      [1, LAST],
      [5, LAST - 1000],
    ] as const) {
      assert.isTrue(isLater(id, last), `${id} after ${last}`)
    }
    for (const [id, last] of [
      [1, 1],
      [1, 3],
      [LAST, 1],
      [LAST - 1000, 5],
    ] as const) {
      assert.isFalse(isLater(id, last), `${id} after ${last}`)
    }
  })
})
