/** The state machine as a table: what every event makes of every state. */
import { assert, describe, it } from "@effect/vitest"
import { STATE_NUMBER } from "../../src/mattermost/PluginStateNumber.ts"
import { after, type LifeEvent, type PluginStateName, TRANSITIONS } from "../../src/supervisor/PluginLife.ts"

const events: ReadonlyArray<LifeEvent> = ["start", "started", "failed", "retry", "replaced", "ended", "stop", "stopped"]

/** A dash is no change. */
const TABLE: ReadonlyArray<readonly [state: PluginStateName, ...after: ReadonlyArray<PluginStateName | "-">]> = [
  //                      start       started    failed           retry         replaced    ended                  stop        stopped
  ["NotRunning", "Starting", "-", "-", "-", "-", "-", "-", "-"],
  ["Starting", "-", "Running", "FailedToStart", "Restarting", "-", "FailedToStayRunning", "Stopping", "-"],
  ["Running", "-", "Running", "-", "Restarting", "Starting", "FailedToStayRunning", "Stopping", "-"],
  ["Restarting", "Starting", "-", "-", "-", "-", "-", "Stopping", "-"],
  ["FailedToStart", "Starting", "-", "-", "-", "-", "-", "-", "-"],
  ["FailedToStayRunning", "Starting", "-", "-", "-", "-", "-", "-", "-"],
  ["Stopping", "-", "-", "-", "-", "-", "-", "-", "NotRunning"],
]

describe("PluginLife", () => {
  it("has a row for every state", () => {
    assert.sameMembers(
      TABLE.map(([state]) => state),
      Object.keys(TRANSITIONS) as Array<PluginStateName>,
    )
    assert.sameMembers(Object.keys(STATE_NUMBER), Object.keys(TRANSITIONS))
  })

  it.each(TABLE.flatMap(([state, ...row]) => events.map((event, index) => [state, event, row[index]!] as const)))(
    "%s after %s: %s",
    (state, event, expected) => {
      const lastFailure = { at: 0, reason: "before", stderr: [] }
      const before = { name: state, since: 1, error: "before", nextTry: 3, restarts: 4, lastFailure }
      const now = after(before, event, 2, { error: "why" })
      if (expected === "-") assert.strictEqual(now, before)
      else assert.deepStrictEqual(now, { name: expected, since: 2, error: "why", restarts: 4, lastFailure })
    },
  )

  it("comes to an end from everywhere, and to a new start from every end", () => {
    const reach = (from: PluginStateName): ReadonlySet<PluginStateName> => {
      const seen = new Set<PluginStateName>()
      const visit = (state: PluginStateName) => {
        for (const next of Object.values(TRANSITIONS[state])) {
          if (seen.has(next)) continue
          seen.add(next)
          visit(next)
        }
      }
      visit(from)
      return seen
    }
    for (const [state] of TABLE) assert.isTrue(reach(state).has("Running") && reach(state).has("NotRunning"), state)
  })
})
