/** Tar's unit: headers have one block, and contents end at a block's end. */
const BLOCK = 512
const ZEROS = Buffer.alloc(BLOCK)

/** Two blocks of zeros are the end of an archive. */
export const END_BYTES: number = 2 * BLOCK

/** Where a content of so many bytes ends in the archive, with what fills its last block. */
export const contentEnd = (start: number, size: number): number => start + Math.ceil(size / BLOCK) * BLOCK

/**
 * Watches the bytes of a tar archive on their way to its parser, which passes over blocks of zeros wherever they are, and
 * takes an archive without an end. Where an archive ends has to be certain: other programs stop there, and what follows
 * would be installed although nobody who looked into the archive has seen it.
 */
export class TarBytes {
  /** Bytes so far. */
  length = 0
  /** Where the last block with something in it ended. */
  usedLength = 0
  #isZero = true
  /** Runs of blocks of zeros: where they begin and end. The last may still grow. */
  readonly #runs: Array<{ readonly start: number; end: number }> = []

  add(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      const length = Math.min(BLOCK - (this.length % BLOCK), chunk.length - at)
      this.#isZero &&= ZEROS.compare(chunk, at, at + length, 0, length) === 0
      at += length
      this.length += length
      if (this.length % BLOCK === 0) this.#endBlock()
    }
  }

  #endBlock(): void {
    const last = this.#runs.at(-1)
    if (!this.#isZero) {
      this.usedLength = this.length
      // A single block is no end: the text of a long name may fill one and leave its last byte, a zero, for the next.
      if (last !== undefined && last.end - last.start < END_BYTES) this.#runs.pop()
    } else if (last !== undefined && last.end === this.length - BLOCK) last.end = this.length
    else this.#runs.push({ start: this.length - BLOCK, end: this.length })
    this.#isZero = true
  }

  /** Whether the archive's end is between these two places. What came before them is forgotten. */
  hasEndWithin(from: number, to: number): boolean {
    while (this.#runs.length > 0 && this.#runs[0]!.end <= from) this.#runs.shift()
    return this.#runs.some(({ end, start }) => Math.min(end, to) - Math.max(start, from) >= END_BYTES)
  }
}
