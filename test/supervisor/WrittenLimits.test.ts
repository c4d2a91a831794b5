/** What an operator lets plugins take of the machine, by `--plugin-limit`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { PLUGIN_LIMIT_NAMES, pluginLimitsOf } from "../../src/supervisor/WrittenLimits.ts"
import { read } from "../support/documents.ts"

describe("pluginLimitsOf", () => {
  it.effect("reads each as it is written, and leaves the others unset", () =>
    Effect.gen(function* () {
      const given = {
        memory: "256 MiB",
        "open-files": "256",
        cpus: "0.5",
        "cpu-seconds": "60",
        processes: "100",
        "oom-score-adjust": "300",
        user: "plugins",
        group: "1000",
      }
      assert.deepStrictEqual(Object.keys(given), PLUGIN_LIMIT_NAMES)
      assert.deepStrictEqual(yield* pluginLimitsOf(given), {
        memory: 256 * 1024 ** 2,
        openFiles: 256,
        cpus: 0.5,
        cpuSeconds: 60,
        processes: 100,
        oomScoreAdjust: 300,
        user: "plugins",
        group: 1000,
      })
      const none = yield* pluginLimitsOf({})
      assert.isTrue(Object.values(none).every((value) => value === undefined))
    }),
  )

  it.effect("says all that is wrong, and which there are", () =>
    Effect.gen(function* () {
      const wrong = { memory: "0 B", cpus: "0", processes: "many", "oom-score-adjust": "2000", user: "", ram: "1" }
      const { message } = yield* Effect.flip(pluginLimitsOf(wrong))
      for (const part of [
        'memory: expected a size such as "256 MiB"',
        "cpus: expected a number of processors, from 0.01",
        "processes: ",
        "oom-score-adjust: expected a whole number, from 0 to 1000",
        "user: ",
        "ram: there is no such limit; there are memory, open-files, ",
      ]) {
        assert.include(message, part)
      }
      assert.include(
        (yield* Effect.flip(pluginLimitsOf({ group: "g" }))).message,
        "group: a group needs a user as well",
      )
    }),
  )

  it("is told of in the documents, each by its name", () => {
    const table = read("docs/limits.md")
    for (const name of PLUGIN_LIMIT_NAMES) assert.include(table, `\`${name}\``)
  })
})
