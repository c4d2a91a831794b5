/** A power of two, and more than the calls that a connection of ours has in flight. */
const SLOTS = 1024

/**
 * The calls of a connection by their streams, whose ids are odd and grow.
 *
 * A Map would do, but for V8's garbage collector. Where entries come and go, a Map moves to a new table now and then, and
 * the old one refers to it. Once a full collection has found a table in use, all later ones are kept until the next, with
 * all the calls that they held: a kilobyte a call, and most of the time that collections take.
 */
export interface StreamTable<T> {
  readonly size: () => number
  readonly get: (stream: number) => T | undefined
  /** The stream has no call yet. */
  readonly set: (stream: number, call: T) => void
  /** Answers whether there was a call. */
  readonly delete: (stream: number) => boolean
  readonly all: () => ReadonlyArray<T>
}

export const streamTable = <T extends object>(): StreamTable<T> => {
  const streams = new Uint32Array(SLOTS)
  const calls: Array<T | undefined> = Array.from({ length: SLOTS }, () => undefined)
  /** Those whose slot was taken, by a call that takes long. */
  const others = new Map<number, T>()
  let size = 0
  const slotOf = (stream: number) => (stream >>> 1) % SLOTS
  /** Whether it is the call of this stream that is in a slot. */
  const isIn = (slot: number, stream: number) => streams[slot] === stream && calls[slot] !== undefined
  return {
    size: () => size,
    get: (stream) => {
      const slot = slotOf(stream)
      return isIn(slot, stream) ? calls[slot] : others.get(stream)
    },
    set: (stream, call) => {
      size++
      const slot = slotOf(stream)
      if (calls[slot] !== undefined) {
        others.set(stream, call)
        return
      }
      streams[slot] = stream
      calls[slot] = call
    },
    delete: (stream) => {
      const slot = slotOf(stream)
      const isInSlot = isIn(slot, stream)
      if (!isInSlot && !others.delete(stream)) return false
      if (isInSlot) calls[slot] = undefined
      size--
      return true
    },
    all: () => [...calls.filter((call) => call !== undefined), ...others.values()],
  }
}
