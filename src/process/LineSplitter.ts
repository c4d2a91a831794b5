import { StringDecoder } from "node:string_decoder"

/** Longest piece handed on, in characters: go-plugin's own buffer for a plugin's stderr (go-plugin 1.8, 64 KiB). */
export const MAX_LINE = 64 * 1024

/**
 * Cuts a byte stream into lines: LF ends a line, a CR before it is dropped, invalid UTF-8 becomes U+FFFD. A line longer
 * than {@link MAX_LINE} is handed on in pieces, so memory stays bounded whatever a plugin prints.
 */
export class LineSplitter {
  readonly #onLine: (line: string, complete: boolean) => void
  readonly #decoder = new StringDecoder("utf8")
  #rest = ""

  /** `complete` is false for a piece of a line that goes on, or that ended without LF. */
  constructor(onLine: (line: string, complete: boolean) => void) {
    this.#onLine = onLine
  }

  push(chunk: Uint8Array): void {
    const text = this.#rest + this.#decoder.write(chunk)
    let start = 0
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", start)) {
      this.#emit(text.slice(start, text[end - 1] === "\r" && end > start ? end - 1 : end), true)
      start = end + 1
    }
    this.#rest = text.slice(start)
    if (this.#rest.length > MAX_LINE) this.flush()
  }

  /** Hands on what has come of an unfinished line. */
  flush(): void {
    if (this.#rest === "") return
    const rest = this.#rest
    this.#rest = ""
    this.#emit(rest, false)
  }

  #emit(line: string, complete: boolean): void {
    let start = 0
    for (; line.length - start > MAX_LINE; start += MAX_LINE) this.#onLine(line.slice(start, start + MAX_LINE), false)
    this.#onLine(line.slice(start), complete)
  }
}
