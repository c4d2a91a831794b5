/**
 * Bytes a second that are read of an output of a process at most. That is more than any log that somebody reads; who
 * writes faster is slowed down by its own pipe, rather than the host by it.
 */
export const READ_RATE = 16 * 1024 * 1024

/** How often there is a rest, in milliseconds. What is read between two of them must not hold up others for long. */
const REST = 10

/** Counts what is read of one output, and says when to rest. */
export class ReadPace {
  #taken = 0

  /** Answers how long to rest after so many bytes more, in milliseconds; mostly 0. */
  take(bytes: number): number {
    this.#taken += bytes
    if (this.#taken < (READ_RATE * REST) / 1000) return 0
    this.#taken = 0
    return REST
  }
}
