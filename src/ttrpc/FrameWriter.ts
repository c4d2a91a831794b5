import type { Duplex } from "node:stream"
import { type Envelope, headSize, writeHead } from "./Envelope.ts"
import { frameType, HEADER_SIZE } from "./Frame.ts"

/** How much is written at once, in bytes, where it is small frames. */
const SLAB_SIZE = 64 * 1024

/** A payload of more bytes than this is written from where it is; a smaller one costs less copied. */
const COPIED_SIZE = 16 * 1024

/** Gathers the frames of one turn of the event loop, and writes them together when it ends. */
export interface FrameWriter {
  /** Adds a frame that carries an envelope. Its payload must not change afterwards. */
  readonly envelope: (stream: number, type: number, flags: number, envelope: Envelope) => void
  /** Adds a frame that carries a message, or nothing. It must not change afterwards. */
  readonly message: (stream: number, flags: number, message: Uint8Array) => void
  /** Writes what there is, now. */
  readonly flush: () => void
  /** The bytes that wait to be written, by this and by the socket. */
  readonly waiting: () => number
}

/** Writes frames to a socket. */
export const frameWriter = (socket: Duplex): FrameWriter => {
  let slab = Buffer.allocUnsafeSlow(SLAB_SIZE)
  /** What of the slab is written already, and what is used. */
  let start = 0
  let end = 0
  /** What is to be written ahead of the slab. */
  let ready: Array<Uint8Array> = []
  let readyBytes = 0
  let isScheduled = false

  const addReady = (bytes: Uint8Array): void => {
    ready.push(bytes)
    readyBytes += bytes.length
  }

  const cut = (): void => {
    if (end > start) addReady(slab.subarray(start, end))
    start = end
  }

  /** Makes room for so many bytes in one piece, at `end`. */
  const reserve = (size: number): void => {
    if (slab.length - end >= size) return
    cut()
    slab = Buffer.allocUnsafeSlow(Math.max(SLAB_SIZE, size))
    start = end = 0
  }

  const flush = (): void => {
    isScheduled = false
    cut()
    if (ready.length === 0) return
    const list = ready
    ready = []
    readyBytes = 0
    if (socket.destroyed || socket.writableEnded) return
    if (list.length === 1) {
      socket.write(list[0])
      return
    }
    socket.cork()
    for (const bytes of list) socket.write(bytes)
    socket.uncork()
  }

  /** Begins a frame whose payload comes behind so many bytes, and answers where those are to be written. */
  const begin = (stream: number, type: number, flags: number, headSize: number, { length }: Uint8Array): number => {
    reserve(HEADER_SIZE + headSize + (length > COPIED_SIZE ? 0 : length))
    slab.writeUInt32BE(headSize + length, end)
    slab.writeUInt32BE(stream, end + 4)
    slab[end + 8] = type
    slab[end + 9] = flags
    const head = end + HEADER_SIZE
    end = head + headSize
    return head
  }

  const finish = (payload: Uint8Array): void => {
    if (payload.length > COPIED_SIZE) {
      cut()
      addReady(payload)
    } else {
      slab.set(payload, end)
      end += payload.length
    }
    if (isScheduled) return
    isScheduled = true
    queueMicrotask(flush)
  }

  return {
    envelope: (stream, type, flags, envelope) => {
      const head = begin(stream, type, flags, headSize(envelope), envelope.payload)
      writeHead(slab, head, envelope)
      finish(envelope.payload)
    },
    message: (stream, flags, message) => {
      begin(stream, frameType.DATA, flags, 0, message)
      finish(message)
    },
    flush,
    waiting: () => readyBytes + (end - start) + socket.writableLength,
  }
}
