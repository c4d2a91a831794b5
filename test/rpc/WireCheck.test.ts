import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { PluginAPI } from "../../src/generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import { PluginHooks } from "../../src/generated/mattermost/pluginapi/v1/plugin_hooks_pb.js"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { decodedBytes, decodeMessage, MAX_DECODED_BYTES } from "../../src/rpc/WireCheck.ts"

/** The same few bytes many times. */
const repeated = (bytes: ReadonlyArray<number>, count: number): Uint8Array => {
  const made = new Uint8Array(bytes.length * count)
  for (let index = 0; index < count; index++) made.set(bytes, index * bytes.length)
  return made
}

/** Numbers that look random and are the same each time (xorshift). */
const randomBytes = (seed: number) => {
  let state = seed
  return (length: number) =>
    Uint8Array.from({ length }, () => {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      return state & 0xff
    })
}

describe("what is decoded", () => {
  it("is not what a few bytes make gigabytes of", () => {
    // `participants`, each an empty user; a field that nobody knows; elements of lists.
    const users = repeated([0xb2, 0x01, 0], 1_000_000)
    const unknown = repeated([0xf8, 0x3e, 1], 2_000_000)
    assert.isAbove(decodedBytes(PostSchema, users, Number.POSITIVE_INFINITY), 1_500_000_000)
    for (const bytes of [users, unknown]) {
      assert.throws(() => decodeMessage(PostSchema, bytes), /would take more than/)
    }
    const few = decodeMessage(PostSchema, users.subarray(0, 3000))
    assert.strictEqual(few.participants.length, 1000)
  })

  it("is what honest peers send: half a million numbers, a message of 30 MB", () => {
    const numbers = create(PostSchema, { props: { n: Array.from({ length: 500_000 }, (_, index) => index) } })
    const bytes = toBinary(PostSchema, numbers)
    const estimate = decodedBytes(PostSchema, bytes, Number.POSITIVE_INFINITY)
    assert.isAbove(estimate, 100_000_000)
    assert.isBelow(estimate, MAX_DECODED_BYTES)
    assert.deepStrictEqual(decodeMessage(PostSchema, bytes), numbers)
    const text = create(PostSchema, { message: "x".repeat(30_000_000), fileIds: ["a", "b"] })
    assert.deepStrictEqual(decodeMessage(PostSchema, toBinary(PostSchema, text)), text)
  })

  it("is looked at to its end, whatever it is", () => {
    const bytes = randomBytes(7)
    let decoded = 0
    for (const { input, output } of [...PluginAPI.methods, ...PluginHooks.methods]) {
      for (let round = 0; round < 20; round++) {
        for (const desc of [input, output]) {
          const garbage = bytes(1 + (round % 10) ** 3)
          assert.isAbove(decodedBytes(desc, garbage, Number.POSITIVE_INFINITY), 0)
          try {
            fromBinary(desc, garbage)
            decoded++
          } catch {
            // That it is no message is for the decoder to say; here nothing is thrown.
          }
        }
      }
    }
    assert.isAbove(decoded, 0)
    const post = toBinary(
      PostSchema,
      create(PostSchema, { message: "m", props: { a: { b: [1, "x"] } }, fileIds: ["f"] }),
    )
    for (let cut = 0; cut < post.length; cut++) decodedBytes(PostSchema, post.subarray(0, cut))
  })
})
