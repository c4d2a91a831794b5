import { randomFillSync } from "node:crypto"
import { Effect } from "effect"

/** Mattermost's alphabet: base 32 without letters that are easily mistaken. */
const ALPHABET = "ybndrfg8ejkmcpqxot1uwisza345h769"

/** The bytes in base 32, without padding. */
const base32 = (bytes: Uint8Array): string => {
  let text = ""
  let bits = 0
  let pending = 0
  for (const byte of bytes) {
    pending = (pending << 8) | byte
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += ALPHABET[(pending >> bits) & 31]
    }
    pending &= (1 << bits) - 1
  }
  return bits === 0 ? text : text + ALPHABET[(pending << (5 - bits)) & 31]
}

const SIZE = 16

/** Random bytes for several ids: to ask the kernel for each costs as much as a small request's headers. */
const pool = new Uint8Array(SIZE * 128)
let used = pool.length

/** A new id as Mattermost makes them: 26 characters for 128 random bits. */
export const makeId = (): string => {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += SIZE
  return base32(pool.subarray(used - SIZE, used))
}

/** {@link makeId} as an effect. */
export const newId: Effect.Effect<string> = Effect.sync(makeId)
