import { existsSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeFolder } from "../../src/bundle/PrivateFolder.ts"
import { temporaryFolder } from "../support/folder.ts"

describe("makeFolder", () => {
  it.effect("makes what is missing, for its user only, and leaves what is there", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const path = join(root, "a/b/c")
      for (let round = 0; round < 2; round++) makeFolder(path)
      for (const made of [path, join(root, "a")]) assert.strictEqual(statSync(made).mode & 0o777, 0o700)
      const file = join(path, "file")
      writeFileSync(file, "")
      assert.throws(() => makeFolder(file), /EEXIST/)
      assert.throws(() => makeFolder(join(file, "x")), /ENOTDIR/)
    }),
  )

  it.skipIf(!existsSync("/proc/self"))("comes to an end where nothing can be made", () => {
    assert.throws(() => makeFolder("/proc/nowhere/x"), "/proc/nowhere can't be made in /proc")
  })
})
