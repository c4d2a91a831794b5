/** A host that is killed by SIGKILL runs no finalizer; its plugins must end all the same. */
import { spawn } from "node:child_process"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schedule } from "effect"
import { inject, vi } from "vitest"
import * as SocketDirectory from "../../src/goplugin/SocketDirectory.ts"
import { temporaryFolder } from "../support/folder.ts"
import { eventually, fixture, isAlive, noPython } from "../support/host.ts"

const python = inject("python")

describe.skipIf(noPython)("a host killed by SIGKILL", () => {
  const dies = (name: string, mode: string, expected: number) =>
    it.live(name, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const host = yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn(
              process.execPath,
              [join(import.meta.dirname, "../fixtures/hostThatDies.ts"), fixture("lifecycle"), mode],
              {
                env: {
                  ...process.env,
                  TMPDIR: folder,
                  PATH: `${"bin" in python ? python.bin : ""}:${process.env["PATH"]}`,
                },
                stdio: ["ignore", "pipe", "inherit"],
              },
            ),
          ),
          (host) => Effect.sync(() => host.kill("SIGKILL")),
        )
        let output = ""
        host.stdout.on("data", (chunk) => (output += String(chunk)))
        yield* eventually("the plugin is active", () => /plugin \d+\n/.test(output))
        const plugin = Number(/plugin (\d+)/.exec(output)![1])
        // Children announce themselves in the log that the host prints, which may come a little later.
        const children = () => [...output.matchAll(/(?:child|daemon): (\d+)/g)].map(([, pid]) => Number(pid))
        yield* eventually("the children are known", () => children().length === expected)
        const pids = [plugin, ...children()]
        assert.isTrue(pids.every(isAlive))
        const folders = () => readdirSync(folder).filter((name) => name.startsWith("plugin-"))
        vi.stubEnv("TMPDIR", folder)
        yield* Effect.addFinalizer(() => Effect.sync(() => vi.unstubAllEnvs()))
        const sweep = SocketDirectory.sweep(Duration.zero)
        yield* sweep
        assert.strictEqual(folders().length, 1, "a living host's folder is left alone")
        host.kill("SIGKILL")
        yield* eventually("the plugin and what it started are gone", () => !pids.some(isAlive))
        assert.strictEqual(folders().length, 1, "a killed host can't clean up")
        // The next one does. The threads of a process may have its sockets open for a moment when it is gone already.
        const isSwept = () => folders().length === 0
        yield* Effect.repeat(sweep, { schedule: Schedule.spaced("20 millis"), until: isSwept }).pipe(
          Effect.timeout("60 seconds"),
        )
      }).pipe(Effect.scoped),
    )

  dies("leaves no plugin", "", 0)
  dies("leaves nobody whom a plugin has started, daemons included", "child", 2)
})
