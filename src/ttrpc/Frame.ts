import { MAX_SKIPPED } from "./TtrpcLimits.ts"

/** The bytes ahead of a frame's data: its length, the stream, the type and the flags, big endian. */
export const HEADER_SIZE = 10

/** What a frame is. */
export const frameType = {
  /** Opens a stream. */
  REQUEST: 1,
  /** A server's last word in a stream. */
  RESPONSE: 2,
  /** A message of a stream. */
  DATA: 3,
} as const

/** What a frame says beside its data. A unary call's request has none of them. */
export const frameFlag = {
  /** The sender sends nothing more in this stream. */
  REMOTE_CLOSED: 1,
  /** The stream is one that its client sends more in. */
  REMOTE_OPEN: 2,
  /** The frame has no message; one without data has an empty one otherwise. */
  NO_DATA: 4,
} as const

/** What is read off a connection. */
export interface FrameReceiver {
  /** A frame, with its data or, where that is more than the limit, without. */
  readonly frame: (stream: number, type: number, flags: number, data: Buffer) => void
  /** A frame whose data, of that many bytes, are more than the limit: they are thrown away as they come. */
  readonly oversized: (stream: number, type: number, length: number) => void
  /** What comes is no ttrpc. */
  readonly garbled: (reason: string) => void
  /** Whether frames are taken; asked ahead of each. */
  readonly isOpen: () => boolean
}

const NO_DATA = Buffer.alloc(0)

/**
 * Takes what a socket reads, finds the frames in it, and answers what is left where no more frames are taken. The data of
 * one that came whole are a view of what was read; of another they are gathered in a buffer of their size.
 */
export const frameReader = (limit: number, receiver: FrameReceiver): ((chunk: Buffer) => Buffer | undefined) => {
  /** The header of the frame that is being read, as far as it has come. */
  const header = Buffer.alloc(HEADER_SIZE)
  let headerLength = 0
  let stream = 0
  let type = 0
  let flags = 0
  /** The data of the frame that is being read. */
  let data: Buffer | undefined
  let dataLength = 0
  /** What is left of a frame that is thrown away. */
  let skipping = 0

  /** Takes what a header says, and answers the length of the data. */
  const begin = (from: Buffer, offset: number): number => {
    stream = from.readUInt32BE(offset + 4)
    type = from[offset + 8]!
    flags = from[offset + 9]!
    return from.readUInt32BE(offset)
  }

  return (chunk) => {
    let position = 0
    while (position < chunk.length) {
      if (!receiver.isOpen()) return chunk.subarray(position)
      if (skipping > 0) {
        const skipped = Math.min(skipping, chunk.length - position)
        skipping -= skipped
        position += skipped
        continue
      }
      if (data !== undefined) {
        const copied = chunk.copy(data, dataLength, position)
        dataLength += copied
        position += copied
        if (dataLength < data.length) return undefined
        const whole = data
        data = undefined
        receiver.frame(stream, type, flags, whole)
        continue
      }
      let length: number
      if (headerLength === 0 && chunk.length - position >= HEADER_SIZE) {
        length = begin(chunk, position)
        position += HEADER_SIZE
      } else {
        const copied = chunk.copy(header, headerLength, position)
        headerLength += copied
        position += copied
        if (headerLength < HEADER_SIZE) return undefined
        headerLength = 0
        length = begin(header, 0)
      }
      if (length > limit) {
        if (length >= MAX_SKIPPED) {
          receiver.garbled(`what was received as a frame's header is none: it claims ${length} bytes of data`)
          return undefined
        }
        skipping = length
        receiver.oversized(stream, type, length)
      } else if (length === 0) {
        receiver.frame(stream, type, flags, NO_DATA)
      } else if (chunk.length - position >= length) {
        const end = position + length
        const whole = chunk.subarray(position, end)
        position = end
        receiver.frame(stream, type, flags, whole)
      } else {
        data = Buffer.allocUnsafeSlow(length)
        dataLength = chunk.copy(data, 0, position)
        return undefined
      }
    }
    return undefined
  }
}
