/** Where in what a WebSocket's server sends another frame may stand. */
import { assert, describe, it } from "@effect/vitest"
import { WebSocketFrames } from "../../src/http/WebSocketFrames.ts"

const text = Buffer.concat([Buffer.from([0x81, 2]), Buffer.from("hi")])
const middle = Buffer.concat([Buffer.from([0x82, 126, 1, 0]), Buffer.alloc(256, 0x88)])
const large = Buffer.concat([Buffer.from([0x02, 127, 0, 0, 0, 0, 0, 1, 0, 1]), Buffer.alloc(65_537, 0x88)])
const masked = Buffer.concat([Buffer.from([0x81, 0x82, 1, 2, 3, 4]), Buffer.from("hi")])
const empty = Buffer.from([0x89, 0])

describe("a frame of one's own", () => {
  it("may stand between frames, wherever they are cut", () => {
    const all = [text, middle, large, masked, empty]
    const boundaries = new Set([0])
    for (const frame of all) boundaries.add([...boundaries].at(-1)! + frame.length)
    const bytes = Buffer.concat(all)
    for (const size of [1, 2, 3, 7, 1000, 65_536, bytes.length]) {
      const frames = new WebSocketFrames()
      for (let at = 0; at < bytes.length; at += size) {
        assert.strictEqual(frames.mayClose, boundaries.has(at), `${size} ${at}`)
        frames.push(bytes.subarray(at, at + size))
      }
      assert.isTrue(frames.mayClose)
    }
  })

  it("follows no goodbye", () => {
    const frames = new WebSocketFrames()
    frames.push(Buffer.concat([text, Buffer.from([0x88, 0])]))
    assert.isFalse(frames.mayClose)
  })
})
