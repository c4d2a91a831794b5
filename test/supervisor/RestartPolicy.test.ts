/** Whether, and when, a plugin is started again: the decisions by themselves. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { HandshakeError } from "../../src/goplugin/Handshake.ts"
import { HookPluginError } from "../../src/hooks/HookError.ts"
import { NoExecutableError } from "../../src/command/PluginRuntime.ts"
import { ServerVersionError } from "../../src/command/ServerVersion.ts"
import { PluginSpawnError } from "../../src/process/ProcessSpec.ts"
import { PluginUserError } from "../../src/process/ProcessUser.ts"
import { PluginExitedError, type PluginStartError, PluginStoppedError } from "../../src/supervisor/PluginRun.ts"
import {
  type Decision,
  make,
  mayPass,
  RESTART_BUDGET,
  type RestartOptions,
  STABLE_AFTER,
} from "../../src/supervisor/RestartPolicy.ts"

const SECOND = 1000

/** A failure after so many milliseconds of being active, and what is to become of it: the wait before jitter. */
type Step = readonly [active: number, expected: Decision["_tag"], millis?: number]

const repeated = (times: number, step: Step): ReadonlyArray<Step> => Array.from({ length: times }, () => step)

const TABLE: { readonly [name: string]: readonly [options: RestartOptions, steps: ReadonlyArray<Step>] } = {
  "waits longer each time, and slowly goes on when the budget is spent": [
    {},
    [
      ...[1, 2, 4, 8, 16, 32].map((seconds): Step => [SECOND, "Soon", seconds * SECOND]),
      ...repeated(3, [SECOND, "Later", 300 * SECOND]),
    ],
  ],
  "waits no longer than its bound": [
    { delay: "10 seconds", maxDelay: "15 seconds", budget: 3 },
    [
      [0, "Soon", 10 * SECOND],
      [0, "Soon", 15 * SECOND],
      [0, "Soon", 15 * SECOND],
      [0, "Later", 300 * SECOND],
    ],
  ],
  "has its budget back by a run that was stable, and only by that": [
    { budget: 2, stableAfter: "1 minute" },
    [
      [0, "Soon", 1 * SECOND],
      [59 * SECOND, "Soon", 2 * SECOND],
      [60 * SECOND, "Soon", 1 * SECOND],
      [59 * SECOND, "Soon", 2 * SECOND],
      [59 * SECOND, "Later", 300 * SECOND],
      [61 * SECOND, "Soon", 1 * SECOND],
    ],
  ],
  "goes on for ever with a plugin that is stable each time": [
    { budget: 1 },
    repeated(50, [121 * SECOND, "Soon", SECOND]),
  ],
  "gives up for good where that is asked for": [
    { budget: 1, retryEvery: false },
    [
      [0, "Soon", SECOND],
      [0, "Never"],
      [0, "Never"],
    ],
  ],
  "retries slowly at once without a budget": [{ budget: 0, retryEvery: "1 hour" }, [[0, "Later", 3600 * SECOND]]],
}

describe("RestartPolicy", () => {
  it.effect.each(Object.entries(TABLE))("%s", ([, [options, steps]]) =>
    Effect.gen(function* () {
      const { failed } = make(options)
      for (const [index, [active, expected, millis = 0]] of steps.entries()) {
        const decision = yield* failed(active)
        assert.strictEqual(decision._tag, expected, `failure ${index + 1}`)
        if (decision._tag === "Never") continue
        assert.isAtLeast(decision.millis, millis * 0.8 - 1)
        assert.isAtMost(decision.millis, millis * 1.2 + 1)
      }
    }),
  )

  it.effect("is jittered: plugins that fail together don't come back together", () =>
    Effect.gen(function* () {
      const first = yield* Effect.forEach(Array(20).keys(), () => make({ delay: "1 minute" }).failed(0))
      assert.isAbove(new Set(first.map((decision) => (decision as { millis: number }).millis)).size, 10)
    }),
  )

  it.effect("counts anew when an operator starts the plugin", () =>
    Effect.gen(function* () {
      const { failed, reset } = make({ budget: 1, retryEvery: false })
      assert.strictEqual((yield* failed(0))._tag, "Soon")
      assert.strictEqual((yield* failed(0))._tag, "Never")
      yield* reset
      assert.strictEqual((yield* failed(0))._tag, "Soon")
    }),
  )

  it("takes longer to be stable than all waits of the budget, or it would never be spent", () => {
    const waits = Array.from({ length: RESTART_BUDGET }, (_, index) => 2 ** index)
    assert.isAbove(Duration.toSeconds(STABLE_AFTER), 1.2 * waits.reduce((a, b) => a + b))
  })
})

const pluginId = "p"
const handshake = (kind: HandshakeError["kind"]) =>
  new HandshakeError({ pluginId, kind, detail: "", stderr: [], diagnosis: [] })
const spawn = (reason: string) => new PluginSpawnError({ pluginId, executable: "/p", reason, diagnosis: [] })

const ERRORS: ReadonlyArray<readonly [PluginStartError, boolean]> = [
  [handshake("timeout"), true],
  [handshake("exited"), true],
  [handshake("cookie"), false],
  [handshake("unhealthy"), true],
  [handshake("config"), false],
  [handshake("unrecognized"), false],
  [handshake("coreVersion"), false],
  [handshake("protocolVersion"), false],
  [handshake("network"), false],
  [handshake("address"), false],
  [handshake("protocol"), false],
  [handshake("certificate"), false],
  [handshake("multiplex"), false],
  [spawn("spawn /p EAGAIN"), true],
  [spawn("spawn /p EACCES"), false],
  [spawn("spawn /p ENOENT"), false],
  [new PluginExitedError({ pluginId, detail: "", exit: "exit code 1", stderr: [] }), true],
  [new HookPluginError({ pluginId, hook: "OnActivate", id: "x", reason: "", statusCode: 500, isAnswer: true }), true],
  [new NoExecutableError({ pluginId, platform: "linux-amd64", available: [] }), false],
  [new ServerVersionError({ pluginId, needed: "9.0.0", version: "8.0.0" }), false],
  [new PluginUserError({ pluginId, user: "u", reason: "" }), false],
  [new PluginStoppedError({ pluginId }), false],
]

describe("what a start may have failed by", () => {
  it.each(
    ERRORS.map(
      ([error, expected]) => [error._tag, (error as { kind?: string }).kind ?? error.message, expected, error] as const,
    ),
  )("%s (%s) may pass: %s", (_tag, _kind, expected, error) => assert.strictEqual(mayPass(error), expected))
})
