/** The bench's pictures. */
import { assert, describe, it } from "@effect/vitest"
import { svg } from "../../bench/growth/plot.ts"

describe("a plot of how costs grow", () => {
  const panel = {
    title: "Calls in flight",
    x: "calls",
    y: "a second",
    series: [
      { name: "ours", points: [[1, 1000] as const, [10, 10_000] as const, [100, 100_000] as const] },
      { name: "another", points: [[1, 5] as const] },
    ],
  }

  it("has both axes logarithmic, from one power of ten to another", () => {
    const image = svg([panel])
    // From 1 to 100 along, and from 1 to 100,000 up: a straight line through the middle.
    assert.include(image, '<path d="M62.0 114.0L192.0 74.0L322.0 34.0')
    for (const tick of ["1k", "10k", "100k"]) assert.include(image, `>${tick}</text>`)
  })

  it("has a panel beside the other, each with its lines", () => {
    const image = svg([panel, panel])
    assert.include(image, 'viewBox="0 0 680 280"')
    assert.lengthOf(image.match(/<path d="M[^"]*" fill="none"/g)!, 4)
  })
})
