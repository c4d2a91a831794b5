import { LineSplitter } from "./LineSplitter.ts"

/** Lines kept for error messages: a Python traceback's end fits, a log's history does not. */
const TAIL_LINES = 20
/** Longest line kept, in characters. */
const TAIL_LINE_LENGTH = 2000

/** Remembers the last lines of a process' stderr. */
export class StderrTail {
  readonly #lines: Array<string> = []
  readonly #splitter = new LineSplitter((line) => {
    if (line.trim() === "") return
    this.#lines.push(line.slice(0, TAIL_LINE_LENGTH))
    if (this.#lines.length > TAIL_LINES) this.#lines.shift()
  })

  push(chunk: Uint8Array): void {
    this.#splitter.push(chunk)
  }

  /** The lines so far, oldest first, an unfinished last one included. */
  lines(): ReadonlyArray<string> {
    this.#splitter.flush()
    return [...this.#lines]
  }
}
