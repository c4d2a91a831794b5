/** Longest piece handed on, in bytes: go-plugin's own buffer for a plugin's stderr (go-plugin 1.8, 64 KiB). */
export const MAX_LINE = 64 * 1024

const LF = 10
const CR = 13

/**
 * A line, as the part of `bytes` from `start` to `end`, which are good during the call only: most lines of a flood are
 * counted and not read. `complete` is false for a piece of a line that goes on, or that ended without LF.
 */
export type OnLine = (bytes: Buffer, start: number, end: number, complete: boolean) => void

/**
 * Cuts a byte stream into lines: LF ends a line, a CR before it is dropped. A line longer than {@link MAX_LINE} is handed
 * on in pieces, none of which cuts a character, so memory stays bounded whatever a plugin prints.
 */
export class LineSplitter {
  readonly #onLine: OnLine
  /** What has come of an unfinished line; made when there is one. */
  #rest: Buffer | undefined
  #length = 0

  constructor(onLine: OnLine) {
    this.#onLine = onLine
  }

  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    let start = 0
    for (let end = 0; end < bytes.length; end++) {
      if (bytes[end] !== LF) continue
      if (this.#length === 0 && end - start <= MAX_LINE) this.#emit(bytes, start, end, true)
      else {
        this.#keep(bytes, start, end)
        this.#emit(this.#rest!, 0, this.#length, true)
        this.#length = 0
      }
      start = end + 1
    }
    if (start < bytes.length) this.#keep(bytes, start, bytes.length)
  }

  /** Hands on what has come of an unfinished line. */
  flush(): void {
    if (this.#length > 0) this.#emit(this.#rest!, 0, this.#length, false)
    this.#length = 0
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    const rest = (this.#rest ??= Buffer.allocUnsafe(MAX_LINE))
    for (let from = start; from < end;) {
      const copied = bytes.copy(rest, this.#length, from, end)
      from += copied
      this.#length += copied
      if (from === end) return
      const cut = beforeCutCharacter(rest)
      this.#emit(rest, 0, cut, false)
      rest.copyWithin(0, cut)
      this.#length = MAX_LINE - cut
    }
  }

  #emit(bytes: Buffer, start: number, end: number, complete: boolean): void {
    this.#onLine(bytes, start, complete && end > start && bytes[end - 1] === CR ? end - 1 : end, complete)
  }
}

/** Where a full buffer ends without the beginning of a UTF-8 character whose end is to come. */
const beforeCutCharacter = (bytes: Buffer): number => {
  for (let back = 1; back <= 3; back++) {
    const byte = bytes[bytes.length - back]!
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : byte >= 0x80 ? 0 : 1
    if (length > 0) return length > back ? bytes.length - back : bytes.length
  }
  return bytes.length
}
