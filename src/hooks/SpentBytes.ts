import { Socket } from "node:net"

/** Bytes below which it is not worth it. */
const MIN_RELEASED = 16 * 1024

/** Whether bytes are worth it, no cutting of the buffer that Node keeps for small ones (`Buffer.poolSize`), and the last in theirs. */
const isLast = ({ buffer, byteLength, byteOffset }: Uint8Array): boolean =>
  byteLength >= MIN_RELEASED && byteLength >= Buffer.poolSize >>> 1 && byteOffset + byteLength === buffer.byteLength

/**
 * Frees bytes, with what is before them in their buffer, when nobody reads them any more; whoever does finds none. Node has
 * each piece of a body in a buffer of its own, of 64 KiB mostly. Left to the garbage collector these cost more than to pass
 * them on: for every 50 MiB or so V8 goes through the whole heap, and each next piece is memory that no cache knows.
 *
 * Only for who has all of the buffer to himself. What the system still writes must not be freed: by then the memory is
 * another's.
 */
const release = (bytes: Uint8Array): void => {
  if (isLast(bytes) && bytes.buffer instanceof ArrayBuffer) bytes.buffer.transfer(0)
}

/**
 * What a stream calls when it has written bytes, or has failed to; in the first case they are freed. It has to be given all
 * that is used of their buffer, in its order.
 */
export const whenWritten =
  (bytes: Uint8Array) =>
  (error?: Error | null): void => {
    if (!error) release(bytes)
  }

/** Of bytes that are somebody's to free who does not write them himself. A `WeakSet` of them would keep V8 busier than they do. */
const isPassed = Symbol("isPassed")

/** Has a {@link ReleasingSocket} free bytes when it has written them, if they are all of their buffer. */
export const pass = (bytes: Uint8Array & { [isPassed]?: true }): Uint8Array => {
  if (bytes.byteOffset === 0 && isLast(bytes)) bytes[isPassed] = true
  return bytes
}

const releaseIfPassed = (bytes: unknown): void => {
  if (bytes instanceof Uint8Array && isPassed in bytes) release(bytes)
}

type Done = (error?: Error | null) => void

/** A socket that frees what it has written, where it was told so. (Node's `connect` undoes a `write` of one's own.) */
export class ReleasingSocket extends Socket {
  override _write(bytes: unknown, encoding: BufferEncoding, done: Done): void {
    super._write(bytes, encoding, (error) => {
      if (!error) releaseIfPassed(bytes)
      done(error)
    })
  }

  override _writev(pieces: Array<{ chunk: unknown; encoding: BufferEncoding }>, done: Done): void {
    // Node changes the list.
    const sent = pieces.map(({ chunk }) => chunk)
    super._writev!(pieces, (error) => {
      if (!error) for (const bytes of sent) releaseIfPassed(bytes)
      done(error)
    })
  }
}
