/** What is shown while a command waits. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Ref } from "effect"
import { TestClock } from "effect/testing"
import { working } from "../../src/cli/Output.ts"

const terminal = (isTTY: boolean) => {
  const written: Array<string> = []
  return { written, stderr: { isTTY, columns: 40, write: (text: unknown) => written.push(String(text)) > 0 } }
}

describe("working", () => {
  it.effect("shows on a terminal what is done and how far it is, in one line, which goes", () =>
    Effect.gen(function* () {
      const { stderr, written } = terminal(true)
      const told = yield* Ref.make("step one")
      const done = yield* Deferred.make<number>()
      const progress = Effect.flatMap(Ref.get(told), (text) =>
        text === "" ? Effect.fail("gone") : Effect.succeed(text),
      )
      const fiber = yield* Effect.forkChild(working("enable x", Deferred.await(done), progress, stderr))
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(written.at(-1)!.slice(2), " enable x: step one\u001b[K")
      yield* Ref.set(told, `step \u0007two ${"of many ".repeat(20)}`)
      yield* TestClock.adjust("1500 millis")
      const last = written.at(-1)!
      assert.match(last, /^\r. enable x: step \\u0007two of many/)
      assert.isBelow(last.length, 40 + "\r\u001b[K".length)
      // Who can't say how far it is, does not matter.
      yield* Ref.set(told, "")
      yield* TestClock.adjust("2 seconds")
      yield* Deferred.succeed(done, 7)
      assert.strictEqual(yield* Fiber.join(fiber), 7)
      assert.strictEqual(written.at(-1), "\r\u001b[K")
      const count = written.length
      yield* TestClock.adjust("5 seconds")
      assert.lengthOf(written, count)
    }),
  )

  it.effect("shows nothing, and asks nobody, elsewhere", () =>
    Effect.gen(function* () {
      const { stderr, written } = terminal(false)
      assert.strictEqual(yield* working("enable x", Effect.succeed(7), Effect.die("asked"), stderr), 7)
      assert.deepStrictEqual(written, [])
    }),
  )
})
