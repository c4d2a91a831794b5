/** Groups of processes, and who else may get their ids. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { ProcessGroup } from "../../src/process/ProcessGroup.ts"
import { LAST_PID, mayChooseIds } from "../support/privileges.ts"

const start = (command: string, ...args: ReadonlyArray<string>): ChildProcess =>
  spawn(command, args, { detached: true, stdio: ["ignore", "pipe", "inherit"] })

/** Starts a stranger with this very id, as the kernel does by itself once it has come round. */
const takeId = async (id: number): Promise<ChildProcess> => {
  for (let attempt = 0; attempt < 1000; attempt++) {
    writeFileSync(LAST_PID, String(id - 1))
    const stranger = start("sleep", "300")
    if (stranger.pid === id) return stranger
    // Somebody else has started something in between.
    stranger.kill("SIGKILL")
    await once(stranger, "exit")
  }
  throw new Error(`the id ${id} was never free`)
}

describe.skipIf(process.platform === "win32")("ProcessGroup", () => {
  it("is there as long as anybody is, be it without its leader, and then is gone for good", async () => {
    const leader = start("/bin/sh", "-c", "sleep 300 & echo $!; exec sleep 300")
    const [line] = await once(leader.stdout!, "data")
    const member = Number(line)
    let gone = 0
    const group = new ProcessGroup(leader.pid!, () => gone++)
    leader.on("exit", () => group.leaderWasReaped())
    group.signal("SIGCONT")
    leader.kill("SIGKILL")
    await once(leader, "exit")
    assert.isTrue(group.exists())
    group.signal("SIGKILL")
    while (group.exists()) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.throws(() => process.kill(member, 0))
    assert.strictEqual(gone, 1)
    group.signal("SIGKILL")
    assert.strictEqual(gone, 1)
  })

  it.skipIf(!mayChooseIds)("never signals a stranger that has got its id", async () => {
    for (const isSeenGone of [true, false]) {
      const leader = start("/bin/sh", "-c", "sleep 300 & echo $!; exec sleep 300")
      const id = leader.pid!
      const [line] = await once(leader.stdout!, "data")
      const group = new ProcessGroup(id, () => {})
      leader.on("exit", () => group.leaderWasReaped())
      leader.kill("SIGKILL")
      await once(leader, "exit")
      assert.isTrue(group.exists())
      // The last one goes while nobody looks.
      process.kill(Number(line), "SIGKILL")
      const isThere = () => {
        try {
          process.kill(-id, 0)
          return true
        } catch {
          return false
        }
      }
      while (isThere()) await new Promise((resolve) => setTimeout(resolve, 10))
      if (isSeenGone) assert.isFalse(group.exists())
      const stranger = await takeId(id)
      assert.strictEqual(Number(readFileSync(`/proc/${id}/stat`, "utf8").split(" ")[4]), id, "it leads a group")
      group.signal("SIGKILL")
      assert.isFalse(group.exists())
      // Signals come in order: had that one come, it would not live to see this one.
      stranger.kill("SIGTERM")
      assert.deepStrictEqual(await once(stranger, "exit"), [null, "SIGTERM"])
    }
  })
})
