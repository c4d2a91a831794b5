/** The folders of plugins' sockets, and what is left of them. */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { vi } from "vitest"
import * as SocketDirectory from "../../src/goplugin/SocketDirectory.ts"
import { serve } from "../../src/grpc/GrpcServer.ts"
import { ownTemporaryFolder, temporaryFolder } from "../support/folder.ts"
import { eventually } from "../support/host.ts"

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

  it.effect("sweeps what has been empty for days, as a living host's never is", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const directory = yield* SocketDirectory.make("resting")
        const old = (age: number) => utimesSync(directory, new Date(Date.now() - age), new Date(Date.now() - age))
        const hour = Duration.toMillis("1 hour")
        old(23 * hour)
        yield* SocketDirectory.sweep()
        assert.isTrue(existsSync(directory))
        // The first touch is at its making, the next one within the hour.
        old(48 * hour)
        yield* TestClock.adjust("1 hour")
        yield* eventually("it is touched", () => Date.now() - statSync(directory).mtimeMs < hour).pipe(
          TestClock.withLive,
        )
        old(48 * hour)
        yield* SocketDirectory.sweep()
        assert.isFalse(existsSync(directory))
      }).pipe(Effect.scoped)
    }),
  )

  it.live("is where the operator, or systemd, or the temporary folder is, by an absolute path", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const at = (given?: string) =>
        SocketDirectory.make("placed").pipe(
          Effect.map(dirname),
          Effect.scoped,
          Effect.provideService(SocketDirectory.RuntimeDirectory, given),
        )
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.unstubAllEnvs()))
      assert.strictEqual(yield* at(), tmpdir())
      vi.stubEnv("TMPDIR", relative(process.cwd(), folder))
      assert.strictEqual(yield* at(), folder)
      vi.stubEnv("TMPDIR", join(folder, "x".repeat(80)))
      assert.strictEqual(yield* at(), "/tmp")
      vi.stubEnv("RUNTIME_DIRECTORY", `${join(folder, "run")}:${join(folder, "other")}`)
      assert.strictEqual(yield* at(), join(folder, "run"))
      assert.strictEqual(yield* at(join(folder, "set/here")), join(folder, "set/here"))
      assert.strictEqual(statSync(join(folder, "set/here")).mode & 0o777, 0o700)
      const error = yield* Effect.flip(at(join(folder, "y".repeat(80))))
      assert.include(error.message, "plugin placed: no private folder for its sockets: the path of")
      assert.include(error.message, "set --runtime-directory")
    }).pipe(Effect.scoped),
  )

  it.live("tells what of it is lost, and has sockets that are the owner's alone", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const directory = yield* Scope.provide(SocketDirectory.make("lost"), scope)
      const socket = join(directory, "api.sock")
      yield* Scope.provide(serve({ unix: socket }, []), scope)
      assert.strictEqual(statSync(socket).mode & 0o777, 0o600)
      const watching = yield* Effect.forkChild(SocketDirectory.lost(directory, [socket]))
      yield* Effect.sleep("10 millis")
      assert.isUndefined(watching.pollUnsafe())
      rmSync(socket)
      assert.strictEqual(yield* Fiber.join(watching), socket)
      rmSync(directory, { recursive: true })
      assert.strictEqual(yield* SocketDirectory.lost(directory, [socket]), directory)
      yield* Scope.close(scope, Exit.void)
    }),
  )
})
