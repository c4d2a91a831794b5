/** What is kept of the log for operators who look at one plugin. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { PluginLogs } from "../../src/environment/PluginLogs.ts"
import { recordLog } from "../support/log.ts"

const say = (plugin_id: string, message: string, more: object = {}) =>
  Effect.annotateLogs(Effect.logInfo(message), { plugin_id, ...more })

describe("PluginLogs", () => {
  it.effect("keeps each plugin's last lines, and leaves the log as it is", () => {
    const log = recordLog()
    return Effect.gen(function* () {
      const { tail } = yield* PluginLogs
      yield* say("a", "one", { request: 7 })
      yield* say("b", "of another's")
      yield* Effect.logInfo("nobody's")
      yield* Effect.annotateLogs(Effect.logError("two", new Error("why")), { plugin_id: "a" })
      const lines = yield* tail("a", 10)
      assert.deepInclude(lines[0], { level: "Info", message: "one", fields: { request: 7 } })
      assert.strictEqual(lines[1]?.level, "Error")
      assert.match(lines[1]!.message, /^two .*why/s)
      assert.deepStrictEqual(
        (yield* tail("a", 1)).map(({ level }) => level),
        ["Error"],
      )
      assert.deepStrictEqual(yield* tail("nobody", 5), [])
      assert.lengthOf(log.messages(), 4)
    }).pipe(Effect.provide(PluginLogs.layer), Effect.provide(log.layer))
  })

  it.effect("forgets the oldest lines: of many, and of long ones", () =>
    Effect.gen(function* () {
      const { tail } = yield* PluginLogs
      yield* Effect.forEach(Array.from({ length: 1100 }), (_, index) => say("a", `${index}`), { discard: true })
      const many = yield* tail("a", 5000)
      assert.deepStrictEqual([many.length, many[0]?.message], [1000, "100"])
      yield* Effect.forEach(Array.from({ length: 8 }), () => say("b", "x".repeat(300_000)), { discard: true })
      assert.lengthOf(yield* tail("b", 5000), 3)
      yield* say("b", "y".repeat(2_000_000))
      assert.lengthOf(yield* tail("b", 5000), 1, "one that is longer than all the room goes by itself")
    }).pipe(Effect.provide(PluginLogs.layer)),
  )

  it.effect("lets readers follow a plugin", () =>
    Effect.gen(function* () {
      const { follow } = yield* PluginLogs
      const reading = yield* Effect.forkChild(Stream.runCollect(Stream.take(follow("a"), 2)))
      yield* Effect.repeat(Effect.yieldNow, { times: 50 })
      yield* say("b", "another's")
      yield* say("a", "one")
      yield* say("a", "two")
      const lines = yield* Fiber.join(reading)
      assert.deepStrictEqual(
        lines.map(({ message }) => message),
        ["one", "two"],
      )
    }).pipe(Effect.provide(PluginLogs.layer)),
  )
})
