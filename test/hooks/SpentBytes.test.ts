/** What frees the bytes of bodies that have been passed on: those and nothing else. */
import { createServer, type Server } from "node:net"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { pass, ReleasingSocket, whenWritten } from "../../src/hooks/SpentBytes.ts"
import { temporaryFolder } from "../support/folder.ts"

const SIZE = 65_536

/** Bytes in a buffer of their own, so many before and behind them. */
const own = (size: number, before = 0, behind = 0) => Buffer.from(new ArrayBuffer(before + size + behind), before, size)

describe("what a stream is given to call when it has written bytes", () => {
  it("frees them, with what was before them in their buffer", () => {
    for (const bytes of [own(SIZE), own(SIZE, 100), own(SIZE - 1)]) {
      whenWritten(bytes)(null)
      assert.strictEqual(bytes.buffer.byteLength, 0)
    }
  })

  it("leaves those that were not written, that something is behind, or that are few", () => {
    const failed = own(SIZE)
    whenWritten(failed)(new Error("the client has gone"))
    assert.strictEqual(failed.length, SIZE)
    for (const bytes of [own(SIZE, 0, 1), own(1000)]) {
      const { length } = bytes
      whenWritten(bytes)()
      assert.strictEqual(bytes.length, length)
    }
  })

  it("leaves what Node has cut out of the buffer that it keeps", () => {
    for (let count = 0; count < 10; count++) {
      const bytes = Buffer.allocUnsafe((Buffer.poolSize >>> 1) - 1)
      whenWritten(bytes)()
      assert.notStrictEqual(bytes.length, 0)
    }
  })
})

describe("a socket that frees what it has written", () => {
  const listening = (server: Server) =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "x.sock")
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void server.listen(path, () => resume(Effect.void))),
        () => Effect.sync(() => server.close()),
      )
      return path
    })

  it.live("does so where it was told to, when they have been sent", () =>
    Effect.gen(function* () {
      const received: Array<Buffer> = []
      const path = yield* listening(createServer((socket) => socket.on("data", (bytes) => received.push(bytes))))
      const socket = new ReleasingSocket()
      yield* Effect.addFinalizer(() => Effect.sync(() => socket.destroy()))
      yield* Effect.callback<void>((resume) => void socket.connect(path, () => resume(Effect.void)))
      // One after the other, and together; more than the system takes at once.
      const pieces = Array.from({ length: 40 }, (_, index) => own(SIZE).fill(index))
      const kept = own(SIZE).fill(99)
      const partly = pass(own(SIZE, 1).fill(98))
      for (const piece of pieces.slice(0, 20)) socket.write(pass(piece))
      socket.cork()
      for (const piece of pieces.slice(20)) socket.write(pass(piece))
      socket.uncork()
      socket.write(kept)
      const sent = Effect.callback<void>((resume) => void socket.write(partly, () => resume(Effect.void)))
      yield* sent
      const ended = Effect.callback<void>((resume) => void socket.on("close", () => resume(Effect.void)))
      socket.end()
      socket.resume()
      yield* ended
      const all = Buffer.concat(received)
      const sentBytes = Buffer.concat([...pieces.keys(), 99, 98].map((value) => Buffer.alloc(SIZE, value)))
      assert.isTrue(all.equals(sentBytes))
      assert.deepStrictEqual(new Set(pieces.map(({ length }) => length)), new Set([0]))
      assert.deepStrictEqual([kept.length, partly.length], [SIZE, SIZE])
    }).pipe(Effect.scoped),
  )
})
