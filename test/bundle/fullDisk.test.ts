/** A disk that is full in the middle of an install. */
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { folder } from "../support/folder.ts"
import { mayMount, MOUNTING } from "../support/privileges.ts"
import { archive, entry, manifest } from "./tarBytes.ts"

describe.skipIf(!mayMount)("a disk that is full in the middle of an install", () => {
  it.live("is told, and nothing is left on it", () =>
    Effect.gen(function* () {
      const root = yield* folder({ "hello/plugin.json": JSON.stringify({ id: "hello", name: "Hello" }) })
      const large = randomBytes(3 * 1024 * 1024)
      writeFileSync(join(root, "hello/large"), large)
      writeFileSync(join(root, "hello.tar.gz"), archive(manifest(), entry("large", { content: large })))
      mkdirSync(join(root, "disk"))
      const [command, ...args] = MOUNTING
      const output = execFileSync(
        command,
        [
          ...args,
          "sh",
          "-c",
          `mount -t tmpfs -o size=1m none '${root}/disk' && exec "$@"`,
          "sh",
          process.execPath,
          resolve(import.meta.dirname, "../fixtures/installOnFullDisk.ts"),
          ...["disk", "hello.tar.gz", "hello"].map((name) => join(root, name)),
        ],
        { encoding: "utf8" },
      )
      const outcomes = output.trim().split("\n")
      assert.lengthOf(outcomes, 2)
      for (const outcome of outcomes) {
        const told = JSON.parse(outcome)
        assert.deepInclude(told, { _tag: "BundleRefusedError", kind: "disk", left: [] })
        assert.include(told.message, "ENOSPC")
      }
    }).pipe(Effect.scoped),
  )
})
