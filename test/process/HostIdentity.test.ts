import { spawn } from "node:child_process"
import { once } from "node:events"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { hostIdentity, isDeadHost } from "../../src/process/HostIdentity.ts"
import { scan, startOf } from "../../src/process/ProcessTable.ts"

describe.skipIf(process.platform !== "linux")("hostIdentity", () => {
  const own = hostIdentity() ?? ""
  const [boot, pids, times, pid, started] = own.split("-")
  const name = (...parts: ReadonlyArray<string | number | undefined>) => `${parts.join("-")}-abcd1234:1`

  it("tells the dead from the living", async () => {
    assert.strictEqual(pid, String(process.pid))
    const child = spawn("sleep", ["300"])
    const itsStart = startOf(child.pid!)
    const itsName = name(boot, pids, times, child.pid, itsStart)
    assert.isFalse(isDeadHost(itsName, own))
    assert.isTrue(isDeadHost(name(boot, pids, times, child.pid, Number(itsStart) - 1), own), "its id is another's")
    child.kill()
    await once(child, "exit")
    assert.isTrue(isDeadHost(itsName, own))
    assert.isFalse(isDeadHost(name(boot, pids, times, pid, started), own), "this one")
  })

  it("says of nobody else's hosts that they are dead", async () => {
    const child = spawn("true")
    await once(child, "exit")
    const dead = child.pid
    assert.isTrue(isDeadHost(name(boot, pids, times, dead, 1), own))
    assert.isFalse(isDeadHost(name(boot, Number(pids) + 1, times, dead, 1), own), "another container's")
    assert.isFalse(isDeadHost(name(boot, pids, Number(times) + 1, dead, 1), own), "another clock's")
    assert.isFalse(isDeadHost(name(boot!.replace(/^./, "x"), pids, times, dead, 1), own))
    assert.isFalse(isDeadHost("b2a5f1c0-7a3e-4a51-9b0e-0f6f3f0a9a11", own), "what older hosts marked theirs with")
    assert.isFalse(isDeadHost("", own))
  })

  it.effect("looks through the processes once for all who ask meanwhile", () =>
    Effect.gen(function* () {
      const [one, other] = yield* Effect.all([scan, scan], { concurrency: 2 })
      assert.strictEqual(one, other)
      assert.isTrue(one!.some((entry) => entry.pid === process.pid && entry.started === startOf(process.pid)))
      assert.notStrictEqual(yield* scan, one)
    }),
  )
})
