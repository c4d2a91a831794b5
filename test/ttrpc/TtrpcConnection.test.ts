import { Duplex } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import { connection } from "../../src/ttrpc/TtrpcConnection.ts"
import { PROTOCOL_FRAME_SIZE, WRITE_WINDOW } from "../../src/ttrpc/TtrpcLimits.ts"
import { frame, number } from "../support/ttrpcFrames.ts"

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A connection on a stream of the test's own, and the streams of the frames that it has read. */
const made = (socket: Duplex) => {
  const read: Array<number> = []
  const ends: Array<string> = []
  let drained = 0
  const wire = connection(socket, PROTOCOL_FRAME_SIZE, {
    frame: (stream) => {
      read.push(stream)
      if (stream === 1) wire.hold()
    },
    oversized: () => {},
    drained: () => drained++,
    ended: (reason) => ends.push(reason),
  })
  return { wire, read, ends, drained: () => drained }
}

describe("TtrpcConnection", () => {
  it("loses nothing and changes no order when it is held, even where somebody else resumes its socket", async () => {
    const socket = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() })
    const { read, wire } = made(socket)
    const last = frame(9, 3, 0, number(1))
    socket.push(Buffer.concat([frame(1, 3, 0), frame(3, 3, 0), frame(5, 3, 0).subarray(0, 4)]))
    await turn()
    assert.deepStrictEqual(read, [1])
    socket.resume()
    socket.push(Buffer.concat([frame(5, 3, 0).subarray(4), frame(7, 3, 0), last.subarray(0, 11)]))
    await turn()
    socket.push(last.subarray(11))
    await turn()
    assert.deepStrictEqual(read, [1])
    wire.release()
    assert.deepStrictEqual(read, [1, 3, 5, 7, 9])
  })

  it("tells when there is room again, on a stream that takes more than its window, too", async () => {
    for (const writableHighWaterMark of [16_000, 4 * WRITE_WINDOW]) {
      const taken: Array<() => void> = []
      const socket = new Duplex({
        writableHighWaterMark,
        read: () => {},
        write: (_chunk, _encoding, done) => taken.push(done),
        writev: (_chunks, done) => taken.push(done),
      })
      const { drained, wire } = made(socket)
      while (!wire.isFull()) wire.message(1, 0, new Uint8Array(100_000))
      await turn()
      assert.strictEqual(drained(), 0)
      for (let done = taken.shift(); done !== undefined; done = taken.shift()) {
        done()
        await turn()
      }
      assert.isFalse(wire.isFull())
      assert.strictEqual(drained(), 1)
    }
  })

  it("ends once, and where its socket has ended before", async () => {
    const socket = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() })
    socket.destroy()
    const { ends, wire } = made(socket)
    await turn()
    wire.destroy("twice")
    assert.lengthOf(ends, 1)
    assert.strictEqual(wire.end(), ends[0])
  })
})
