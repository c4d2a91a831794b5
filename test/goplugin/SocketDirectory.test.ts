/** The folders of plugins' sockets, and what is left of them. */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as SocketDirectory from "../../src/goplugin/SocketDirectory.ts"
import { ownTemporaryFolder } from "../support/folder.ts"

ownTemporaryFolder()

/** Leaves a socket of a process that was killed. */
const abandon = (path: string): void => {
  const listen = `require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))`
  assert.throws(() => execFileSync(process.execPath, ["-e", listen, path]))
  assert.isTrue(existsSync(path))
}

describe("SocketDirectory", () => {
  it.effect("sweeps what killed hosts have left, and nothing that may be anybody else's", () =>
    Effect.gen(function* () {
      const folders = ["plugin-of-another", "plugin-host-more-than-six", "plugin-host-abc123", "plugin-host-AbC456"]
      for (const folder of folders) {
        mkdirSync(join(tmpdir(), folder))
        abandon(join(tmpdir(), folder, "s"))
      }
      writeFileSync(join(tmpdir(), "plugin-host-AbC456", "precious.txt"), "data")
      yield* SocketDirectory.sweep(Duration.zero)
      assert.sameMembers(readdirSync(tmpdir()), [
        "plugin-of-another",
        "plugin-host-more-than-six",
        "plugin-host-AbC456",
      ])
      assert.deepStrictEqual(readdirSync(join(tmpdir(), "plugin-of-another")), ["s"])
      assert.deepStrictEqual(readdirSync(join(tmpdir(), "plugin-host-AbC456")), ["precious.txt"])
    }),
  )
})
