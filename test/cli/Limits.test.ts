/** The bounds that an operator sets by `--limit`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { LIMIT_NAMES, limitsOf } from "../../src/cli/Limits.ts"
import { read } from "../support/documents.ts"

describe("limitsOf", () => {
  it.effect("leaves what is not set at its default", () =>
    Effect.gen(function* () {
      const { logLines, notificationBytes, workspace } = yield* limitsOf({})
      assert.deepStrictEqual([logLines, notificationBytes, workspace.keyValue], [1000, 32 * 1024 ** 2, 8 * 1024 ** 2])
      const set = yield* limitsOf({ "key-value": "16 MiB", commands: "7", "log-lines": "10" })
      assert.deepInclude(set, { logLines: 10 })
      assert.deepStrictEqual(set.workspace, { ...workspace, keyValue: 16 * 1024 ** 2, commands: 7 })
    }),
  )

  it.effect("says all that is wrong, and which limits there are", () =>
    Effect.gen(function* () {
      const wrong = {
        commands: "-1",
        requests: "5",
        "key-value": "large",
        "page-items": "1.5",
        "notification-bytes": "0 B",
      }
      const { message } = yield* Effect.flip(limitsOf(wrong))
      for (const part of [
        "commands: expected a whole number",
        "requests: there is no such limit; there are message, http-requests, ",
        '["key-value"]: expected a size such as "8 MiB"',
        '["page-items"]: expected a whole number',
        '["notification-bytes"]: expected a size such as "8 MiB"',
      ]) {
        assert.include(message, part)
      }
    }),
  )

  it("is told of in the documents, each by its name", () => {
    const table = read("docs/reliability.md")
    for (const name of LIMIT_NAMES) assert.include(table, `\`${name}\``)
  })
})
