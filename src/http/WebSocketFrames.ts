/** Opcode of the frame by which one side closes a WebSocket (RFC 6455 §5.5.1). */
const CLOSE = 0x8

/** "Going away" as a server says it (RFC 6455 §7.4.1): 1001, with nothing else to it. */
export const GOING_AWAY: Uint8Array = Uint8Array.of(0x80 | CLOSE, 2, 1001 >> 8, 1001 & 0xff)

/**
 * Follows what a WebSocket's server sends, as far as it takes to know where a frame of one's own may stand. Holds no more
 * than a frame's head.
 */
export class WebSocketFrames {
  /** A head as far as it is there: 14 bytes at most. */
  #head: Array<number> = []
  /** What is missing of a frame's content. */
  #missing = 0
  #isClosing = false

  /** Takes note of bytes that are sent. */
  push(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#missing > 0) {
        const skipped = Math.min(this.#missing, bytes.length - at)
        this.#missing -= skipped
        at += skipped
        continue
      }
      this.#head.push(bytes[at++]!)
      if (this.#head.length < headLength(this.#head)) continue
      if ((this.#head[0]! & 0xf) === CLOSE) this.#isClosing = true
      this.#missing = contentLength(this.#head)
      this.#head = []
    }
  }

  /** Whether a frame that says goodbye may follow: no other has begun, and none has said so. */
  get mayClose(): boolean {
    return this.#missing === 0 && this.#head.length === 0 && !this.#isClosing
  }
}

/** How many bytes the length of a content takes, beside the seven bits that tell of that. */
const extension = (head: ReadonlyArray<number>): number => {
  const length = head[1]! & 0x7f
  return length === 127 ? 8 : length === 126 ? 2 : 0
}

const headLength = (head: ReadonlyArray<number>): number =>
  head.length < 2 ? 2 : 2 + extension(head) + (head[1]! & 0x80 ? 4 : 0)

const contentLength = (head: ReadonlyArray<number>): number => {
  const extended = extension(head)
  return extended === 0 ? head[1]! & 0x7f : head.slice(2, 2 + extended).reduce((length, byte) => length * 256 + byte, 0)
}
