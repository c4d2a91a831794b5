import { spawn } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { makeActivity } from "../../src/python/GroupActivity.ts"
import { temporaryFolder } from "../support/folder.ts"

/** What is seen of a shell script that goes on for ever, in a group of its own. */
const activityOf = Effect.fnUntraced(function* (script: string) {
  const cwd = yield* temporaryFolder
  const shell = yield* Effect.acquireRelease(
    Effect.sync(() => spawn("/bin/sh", ["-c", script], { cwd, detached: true, stdio: ["ignore", "pipe", "ignore"] })),
    ({ pid }) => Effect.sync(() => process.kill(-pid!, "SIGKILL")),
  )
  yield* Effect.promise(() => new Promise((resolve) => shell.stdout.once("data", resolve)))
  return makeActivity(shell.pid!)
})

describe.skipIf(process.platform !== "linux")("a process group's activity", () => {
  it.live.each([
    ["writes", "while :; do head -c 10000 /dev/zero > file; done"],
    ["computes", "while :; do :; done"],
    ["has children that compute", "sh -c 'while :; do :; done' & wait"],
  ])("is seen when it %s", ([, script]) =>
    Effect.gen(function* () {
      const activity = yield* activityOf(`echo ready; ${script}`)
      const seen = { until: (seen: boolean | undefined) => seen === true, schedule: Schedule.spaced("50 millis") }
      // Twice: it does not end with what was seen.
      for (const _ of [1, 2]) yield* Effect.timeout(Effect.repeat(activity, seen), "60 seconds")
    }).pipe(Effect.scoped),
  )

  it.live("is none when it waits, and wakes up now and then", () =>
    Effect.gen(function* () {
      const activity = yield* activityOf("echo ready; sleep 0.01; sleep 0.01; sleep 0.01; sleep 600")
      const seen = yield* Effect.all(Array.from({ length: 5 }, () => Effect.delay(activity, "50 millis")))
      assert.deepStrictEqual(seen, [false, false, false, false, false])
    }).pipe(Effect.scoped),
  )
})
