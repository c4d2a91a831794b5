import type { Duplex } from "node:stream"
import { type FrameReceiver, frameReader } from "./Frame.ts"
import { type FrameWriter, frameWriter } from "./FrameWriter.ts"
import { CLOSE_GRACE, WRITE_WINDOW } from "./TtrpcLimits.ts"

/** What a connection tells the side that uses it. */
export interface ConnectionUser extends Pick<FrameReceiver, "frame" | "oversized"> {
  /** There is room again for what is to be written. */
  readonly drained: () => void
  /** The connection has ended, once and for good. `isGarbled` says that it was ended for what the other side had sent. */
  readonly ended: (reason: string, isGarbled: boolean) => void
}

/** One byte stream between two processes, as frames. */
export interface TtrpcConnection extends Pick<FrameWriter, "envelope" | "message"> {
  /** Why it has ended; `undefined` while it has not. */
  readonly end: () => string | undefined
  /** Whether so much waits to be written that nothing should be added; `drained` follows. */
  readonly isFull: () => boolean
  /** Reads no further until as many calls of `release` have followed. */
  readonly hold: () => void
  readonly release: () => void
  /** Ends it at once; what is not written yet is lost. */
  readonly destroy: (reason: string) => void
  /** Ends it when everything is written, at the latest after {@link CLOSE_GRACE}; `done` is called then. */
  readonly close: (reason: string, done: () => void) => void
}

const ENDED = "the other side has ended the connection"

/** Speaks frames over a stream of bytes, which becomes the connection's own. */
export const connection = (socket: Duplex, limit: number, user: ConnectionUser): TtrpcConnection => {
  const writer = frameWriter(socket)
  // Below its own mark a stream does not tell when it has been drained.
  const window = Math.max(WRITE_WINDOW, socket.writableHighWaterMark)
  let end: string | undefined
  let holds = 0
  /** What was read already when the connection was held. */
  let rest: Buffer | undefined

  const finish = (reason: string, isGarbled = false): void => {
    if (end !== undefined) return
    end = reason
    user.ended(reason, isGarbled)
  }
  const destroy = (reason: string, isGarbled?: boolean): void => {
    finish(reason, isGarbled)
    socket.destroy()
  }

  const readFrames = frameReader(limit, {
    frame: user.frame,
    oversized: user.oversized,
    garbled: (reason) => destroy(reason, true),
    isOpen: () => holds === 0 && end === undefined,
  })
  const read = (bytes: Buffer): void => {
    rest = undefined
    rest = readFrames(bytes)
  }

  // Node itself resumes the sockets of a child process that has ended, held or not.
  socket.on("data", (bytes: Buffer) => read(rest === undefined ? bytes : Buffer.concat([rest, bytes])))
  socket.on("drain", () => {
    if (end === undefined) user.drained()
  })
  // Half of a connection is of no use: whoever sends nothing more does not live.
  socket.on("end", () => destroy(ENDED))
  socket.on("close", () => finish(ENDED))
  socket.on("error", ({ message }) => destroy(`the connection is lost: ${message}`))
  if (socket.destroyed || socket.readableEnded) queueMicrotask(() => destroy(ENDED))

  return {
    envelope: writer.envelope,
    message: writer.message,
    end: () => end,
    isFull: () => writer.waiting() > window,
    hold: () => {
      if (holds++ === 0) socket.pause()
    },
    release: () => {
      if (--holds > 0 || end !== undefined) return
      if (rest !== undefined) read(rest)
      if (holds === 0) socket.resume()
    },
    destroy,
    close: (reason, done) => {
      writer.flush()
      finish(reason)
      if (socket.destroyed) return done()
      const cutOff = setTimeout(() => socket.destroy(), CLOSE_GRACE)
      socket.once("close", () => {
        clearTimeout(cutOff)
        done()
      })
      socket.end(() => socket.destroy())
    },
  }
}
