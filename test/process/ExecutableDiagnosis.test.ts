import { execFileSync } from "node:child_process"
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { diagnose } from "../../src/process/ExecutableDiagnosis.ts"
import { PluginProcess } from "../../src/process/PluginProcess.ts"
import { temporaryFolder } from "../support/folder.ts"

/** A header with bytes at offsets. */
const header = (length: number, ...parts: ReadonlyArray<readonly [offset: number, bytes: ReadonlyArray<number>]>) => {
  const bytes = Buffer.alloc(length)
  for (const [offset, values] of parts) bytes.set(values, offset)
  return bytes
}
const ELF = [0x7f, 0x45, 0x4c, 0x46]
const here = `(this machine is ${process.arch})`

const formats: ReadonlyArray<readonly [name: string, content: Buffer | string, note: string]> = [
  ["ELF, little end first", header(64, [0, ELF], [5, [1]], [18, [183, 0]]), `an ELF file for arm64 ${here}`],
  ["ELF, big end first", header(64, [0, ELF], [5, [2]], [18, [0, 22]]), `an ELF file for s390x ${here}`],
  [
    "ELF of a machine unknown here",
    header(64, [0, ELF], [5, [1]], [18, [9, 9]]),
    `an ELF file for machine 2313 ${here}`,
  ],
  ["ELF that is cut off", header(10, [0, ELF]), "of no executable format known here"],
  ["Mach-O", header(32, [0, [0xcf, 0xfa, 0xed, 0xfe]], [4, [0x0c, 0, 0, 1]]), `a Mach-O file for arm64 ${here}`],
  ["universal Mach-O", header(32, [0, [0xca, 0xfe, 0xba, 0xbe]]), "a universal Mach-O file"],
  ["PE", header(128, [0, [0x4d, 0x5a]], [60, [64]], [64, [0x50, 0x45, 0, 0, 0x64, 0x86]]), `a PE file for x64 ${here}`],
  [
    "PE whose header is elsewhere",
    header(64, [0, [0x4d, 0x5a]], [60, [255, 255]]),
    "of no executable format known here",
  ],
  ["a script", "#!/usr/bin/env python9\nprint()", 'a script that starts "#!/usr/bin/env python9"'],
  ["nothing", "", "an empty file"],
  ["text", "hello", "of no executable format known here"],
]

describe("diagnose", () => {
  it.live.each(formats)("tells %s", ([, content, note]) =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "plugin")
      writeFileSync(file, content, { mode: 0o640 })
      const { isForeign, notes } = yield* diagnose(file)
      const [path, rights, format] = notes
      const named = /for (.+) \(this/.exec(note)?.[1]
      const elsewhere = /Mach-O/.test(note) ? "darwin" : /PE/.test(note) ? "win32" : process.platform
      assert.strictEqual(isForeign, (named ?? process.arch) !== process.arch || elsewhere !== process.platform)
      assert.strictEqual(path, `path: ${file}`)
      if (process.platform !== "win32") assert.match(rights!, /^mode: 0640, owner: \d+ \(this host: \d+\), group: \d+ /)
      assert.strictEqual(format, `format: ${note}`)
    }).pipe(Effect.scoped),
  )

  it.live("tells what isn't there or is no file, waits for no pipe, and follows links", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      assert.include((yield* diagnose(join(folder, "none"))).notes.join(), "ENOENT")
      mkdirSync(join(folder, "folder"))
      execFileSync("mkfifo", [join(folder, "pipe")])
      for (const name of ["folder", "pipe"]) {
        assert.include((yield* diagnose(join(folder, name))).notes.join(), "no regular file")
      }
      writeFileSync(join(folder, "file"), "#!/bin/sh\n")
      symlinkSync(join(folder, "file"), join(folder, "link"))
      assert.include((yield* diagnose(join(folder, "link"))).notes.join(), "a script")
    }).pipe(Effect.scoped),
  )
})

describe.skipIf(process.platform === "win32")("an executable that can't start", () => {
  const refused = (name: string, content: Buffer | string, mode: number, reason: string, note: string) =>
    it.live(name, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const executable = join(folder, "plugin")
        writeFileSync(executable, content)
        chmodSync(executable, mode)
        const { spawn } = yield* PluginProcess
        const error = yield* Effect.flip(
          spawn(
            { pluginId: "broken", executable, args: [], cwd: folder, env: {} },
            { stdout: () => {}, stderr: () => {} },
          ),
        )
        assert.include(error.message, reason)
        assert.include(error.message, note)
      }).pipe(Effect.scoped, Effect.provide(PluginProcess.layer)),
    )
  refused("may not be executed", "#!/bin/sh\n", 0o644, "EACCES", "mode: 0644")
  refused("has no interpreter", "#!/no/such/interpreter\n", 0o755, "ENOENT", "#!/no/such/interpreter")
})
