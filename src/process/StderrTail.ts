/** Lines kept for error messages: a Python traceback's end fits, a log's history does not. */
const TAIL_LINES = 20
/** Longest line kept, in characters. */
const TAIL_LINE_LENGTH = 2000
/** Bytes that are kept: enough for that many lines of any text, and little beside a process. */
const TAIL_BYTES = 64 * 1024

/** Remembers the last lines of a process' stderr. They are looked for when somebody asks: a flood costs a copy. */
export class StderrTail {
  readonly #ring = Buffer.alloc(TAIL_BYTES)
  readonly #understand: (line: string) => ReadonlyArray<string>
  #written = 0

  /** `understand` says what a line has to tell people, if anything. */
  constructor(understand: (line: string) => ReadonlyArray<string> = (line) => [line]) {
    this.#understand = understand
  }

  push(chunk: Uint8Array): void {
    const kept = chunk.subarray(-TAIL_BYTES)
    const at = (this.#written + chunk.length - kept.length) % TAIL_BYTES
    const first = kept.subarray(0, TAIL_BYTES - at)
    this.#ring.set(first, at)
    this.#ring.set(kept.subarray(first.length), 0)
    this.#written += chunk.length
  }

  /** The lines so far, oldest first, an unfinished last one included. */
  lines(): ReadonlyArray<string> {
    const at = this.#written % TAIL_BYTES
    const parts = this.#written < TAIL_BYTES ? [] : [this.#ring.subarray(at)]
    return Buffer.concat([...parts, this.#ring.subarray(0, at)])
      .toString()
      .split(/\r?\n/)
      .filter((line) => line.trim() !== "")
      .flatMap(this.#understand)
      .slice(-TAIL_LINES)
      .map((line) => line.slice(0, TAIL_LINE_LENGTH))
  }
}
