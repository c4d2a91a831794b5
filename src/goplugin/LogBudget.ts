import { Context } from "effect"

/**
 * Lines a second that are logged of what one plugin prints and logs, in the long run; ten times as many may come at once.
 * What is more is left out, and that is logged. Default 1000: journald's own limit for a service is a third of that.
 */
export const PluginLogRate: Context.Reference<number> = Context.Reference(
  "effect-plugin-supervisor/goplugin/PluginLogRate",
  { defaultValue: () => 1000 },
)

/** Bytes that a line may have on the average: a rate of lines is one of bytes, too. */
const LINE_BYTES = 1024

/** Seconds' worth of the rate that may come at once. */
const BURST = 10

/** So many lines a second, and so many bytes (a token bucket): time fills it, lines empty it. */
export class LogBudget {
  readonly #rate: number
  #lines: number
  #bytes: number
  #filled: number

  /** A full one, of a number of lines a second. */
  constructor(rate: number, now: number) {
    this.#rate = rate
    this.#lines = rate * BURST
    this.#bytes = this.#lines * LINE_BYTES
    this.#filled = now
  }

  /** Fills up with what the time since the last call has brought. */
  fill(now: number): void {
    const more = (Math.max(0, now - this.#filled) / 1000) * this.#rate
    this.#filled = now
    this.#lines = Math.min(this.#lines + more, this.#rate * BURST)
    this.#bytes = Math.min(this.#bytes + more * LINE_BYTES, this.#rate * BURST * LINE_BYTES)
  }

  /** Takes a line of so many bytes, if there is anything left; a long line may take more than that. */
  take(bytes: number): boolean {
    if (this.#lines < 1 || this.#bytes <= 0) return false
    this.#lines--
    this.#bytes -= bytes
    return true
  }
}
