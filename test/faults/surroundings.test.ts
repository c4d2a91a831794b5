/** Supervisors in trouble that is not their plugins': without disk, locks, descriptors, folders; and ended at bad moments. */
import { execFileSync } from "node:child_process"
import { rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { eventually, isAlive, noPython } from "../support/host.ts"
import { mayMount, MOUNTING } from "../support/privileges.ts"
import { wire } from "../support/rawHttp.ts"
import { serving } from "./serving.ts"
import { nobodyHas, peer, processesWith, python, sh } from "./support.ts"

const isLinux = process.platform === "linux"

/** The data folder is a disk of its own, of a size. */
const onDisk = (size: string) => (root: string) => [
  ...MOUNTING,
  "sh",
  "-c",
  `mount -t tmpfs -o size=${size} none '${root}/data' && exec "$@"`,
  "sh",
]

const UNSET = { RUNTIME_DIRECTORY: undefined }

describe.skipIf(!isLinux || noPython).concurrent("a supervisor", () => {
  it.live.skipIf(!mayMount)("whose disk is full says so, goes on, and writes again when there is room", () =>
    Effect.gen(function* () {
      const { child, isWell, post, root } = yield* serving({ prefix: onDisk("4m") })
      assert.strictEqual((yield* post("first")).status, 201)
      // Its disk is seen only by it.
      const filler = `/proc/${child.pid}/root${root}/data/filler`
      try {
        writeFileSync(filler, Buffer.alloc(4 * 1024 * 1024))
      } catch {
        // It is full now.
      }
      let refused = yield* post("x".repeat(16_000))
      for (let tries = 0; refused.status === 201 && tries < 500; tries++) refused = yield* post("x".repeat(16_000))
      assert.strictEqual(refused.status, 507)
      assert.include(refused.text, "has no room left on its disk; see the host's log")
      yield* isWell
      rmSync(filler)
      assert.strictEqual((yield* post("second")).status, 201)
    }).pipe(Effect.scoped),
  )

  it.live("whose database another process has locked answers in time, and goes on when it is free", () =>
    Effect.gen(function* () {
      const { isWell, post, root } = yield* serving()
      const other = new DatabaseSync(join(root, "data/workspace.db"))
      other.exec("BEGIN IMMEDIATE")
      const [refused] = yield* Effect.all([post("first"), Effect.repeat(isWell, { times: 20 })], { concurrency: 2 })
      assert.strictEqual(refused.status, 503)
      assert.include(refused.text, "is in use by another program; see the host's log")
      other.exec("ROLLBACK")
      other.close()
      assert.strictEqual((yield* post("second")).status, 201)
    }).pipe(Effect.scoped),
  )

  it.live("is the only one in its data folder, also by another path to it", () =>
    Effect.gen(function* () {
      const { child, isWell, root } = yield* serving()
      symlinkSync(join(root, "data"), join(root, "link"))
      for (const path of ["data", "link"]) {
        const second = yield* serving({ data: join(root, path) })
        assert.strictEqual(yield* second.ended, 1)
        assert.include(second.log(), `is in use by the process ${child.pid}; end it, or use another folder (--data)`)
      }
      yield* isWell
    }).pipe(Effect.scoped),
  )

  it.live("that has no descriptors for a plugin says so, and stops cleanly", () =>
    Effect.gen(function* () {
      const { descriptors } = yield* serving({ plugins: {} })
      // Enough for the supervisor itself, and too few for the pipes of a plugin.
      const limit = descriptors() + 3
      const { ask, child, ended, state } = yield* serving({ prefix: () => ["prlimit", `--nofile=${limit}`] })
      const { error, name } = yield* state("well")
      assert.strictEqual(name, "FailedToStart", error)
      assert.match(error, /plugin well.*EMFILE; no file descriptor is left: raise the limit/s)
      // There may be some later.
      assert.strictEqual((yield* ask("/plugins/well/")).status, 503)
      child.kill("SIGTERM")
      assert.strictEqual(yield* ended, 0)
    }).pipe(Effect.scoped),
  )

  it.live("that runs out of descriptors goes on when there are some again", () =>
    Effect.gen(function* () {
      const { child, descriptors, isWell, port } = yield* serving()
      yield* isWell
      const limit = descriptors() + 12
      execFileSync("prlimit", ["--pid", String(child.pid), `--nofile=${limit}`])
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Effect.all(Array.from({ length: 60 }, () => wire(port)))
          yield* eventually("none is left", () => descriptors() >= limit)
        }),
      )
      yield* Effect.retry(isWell, { times: 100 })
    }).pipe(Effect.scoped),
  )

  it.live("that has no descriptors left stops all the same", () =>
    Effect.gen(function* () {
      const plugins = { well: peer("starts what ignores signals", { id: "well" }) }
      const { child, descriptors, ended, port, root, sockets } = yield* serving({ plugins })
      yield* eventually("the plugin has descendants", () => processesWith(join(root, "plugins/well")).length >= 3)
      const limit = descriptors() + 5
      execFileSync("prlimit", ["--pid", String(child.pid), `--nofile=${limit}`])
      yield* Effect.all(Array.from({ length: 60 }, () => wire(port)))
      yield* eventually("none is left", () => descriptors() >= limit)
      child.kill("SIGTERM")
      assert.strictEqual(yield* ended, 0)
      yield* nobodyHas(join(root, "plugins/well"))
      assert.deepStrictEqual(sockets(), [])
    }).pipe(Effect.scoped),
  )

  const tooLong = `/tmp/${"long".repeat(30)}`
  const folders: ReadonlyArray<
    readonly [name: string, env: (root: string) => Record<string, string | undefined>, error?: RegExp]
  > = [
    [
      "can't be made",
      () => ({ RUNTIME_DIRECTORY: "/proc/nowhere" }),
      /no private folder for its sockets: .*nowhere can't be made/,
    ],
    ["is a file", (root) => ({ RUNTIME_DIRECTORY: join(root, "plugins/well/plugin") }), /no private folder .*EEXIST/],
    ["has too long a path", () => ({ RUNTIME_DIRECTORY: tooLong }), /is too long for a socket's/],
    ["has a relative path", (root) => ({ RUNTIME_DIRECTORY: relative(process.cwd(), join(root, "run")) })],
    [
      "is the temporary one, which is not there",
      () => ({ TMPDIR: "/proc/nowhere", ...UNSET }),
      /nowhere can't be made/,
    ],
    ["is the temporary one, with too long a path", () => ({ TMPDIR: tooLong, ...UNSET })],
  ]
  for (const [name, env, reason] of folders) {
    it.live(`whose folder for sockets ${name} ${reason === undefined ? "serves all the same" : "says so"}`, () =>
      Effect.gen(function* () {
        const { isWell, state } = yield* serving({ env })
        if (reason === undefined) return yield* isWell
        const { error, name } = yield* state("well")
        assert.strictEqual(name, "FailedToStart")
        assert.match(error, reason)
        assert.include(
          error,
          "set --runtime-directory, RUNTIME_DIRECTORY or TMPDIR to a short path of a writable folder",
        )
      }).pipe(Effect.scoped),
    )
  }

  it.live("whose folder for sockets is swept away says so, and has its plugins in a new one", () =>
    Effect.gen(function* () {
      const { ask, isWell, log, root, state } = yield* serving()
      const before = processesWith(join(root, "plugins/well"))
      rmSync(join(root, "run"), { recursive: true })
      yield* eventually("it is seen", () => log().includes("somebody has removed"))
      yield* eventually("nothing is left of it", () => !before.some(isAlive))
      yield* Effect.repeat(Effect.delay(ask("/plugins/well/"), "50 millis"), {
        until: ({ status }) => status === 200,
      }).pipe(Effect.timeout("60 seconds"))
      yield* isWell
      assert.include(
        (yield* state("well")).lastFailure?.reason,
        "keep sockets where nobody clears up (--runtime-directory, RUNTIME_DIRECTORY)",
      )
    }).pipe(Effect.scoped),
  )

  it.live("without a Python says where it has looked, and runs what needs none", () =>
    Effect.gen(function* () {
      const plugins = { well: peer("well", { id: "well" }), hostile: python("import mattermost_plugin") }
      const { isWell, state } = yield* serving({ plugins, env: () => ({ PATH: "/nowhere" }) })
      const { error, name } = yield* state("hostile")
      assert.strictEqual(name, "FailedToStart")
      assert.match(error, /no Python interpreter for .*\/nowhere\/python3.*; make a virtual environment/)
      yield* isWell
    }).pipe(Effect.scoped),
  )

  it.live("whose log goes to a full disk goes on, and stops cleanly", () =>
    Effect.gen(function* () {
      const { child, ended, isWell } = yield* serving({
        prefix: () => ["sh", "-c", 'exec "$@" 2>/dev/full', "sh"],
        plugins: { well: peer("well", { id: "well" }), hostile: sh("exit 1") },
      })
      yield* isWell
      child.kill("SIGTERM")
      assert.strictEqual(yield* ended, 0)
    }).pipe(Effect.scoped),
  )

  it.live("whose data folder can't be made says so at once", () =>
    Effect.gen(function* () {
      const { ended, log } = yield* serving({ data: "/proc/nowhere/data" })
      assert.strictEqual(yield* ended, 1)
      assert.match(
        log(),
        /the data folder \/proc\/nowhere\/data can't be made: .*; make it, or use another one \(--data\)/,
      )
    }).pipe(Effect.scoped),
  )
})

const NEVER = sh("trap '' TERM; sleep 600", "well")

describe.skipIf(!isLinux || noPython).concurrent("a supervisor that is ended", () => {
  const ends: ReadonlyArray<readonly [string, (kill: (signal: NodeJS.Signals) => void) => void, number | null]> = [
    ["by SIGINT, twice", (kill) => (kill("SIGINT"), kill("SIGINT")), 0],
    ["by SIGTERM, and again and again", (kill) => Array.from({ length: 50 }, () => kill("SIGTERM")), 0],
    ["by all of them", (kill) => (kill("SIGHUP"), kill("SIGINT"), kill("SIGTERM")), 0],
    ["by SIGKILL", (kill) => kill("SIGKILL"), null],
    ["by SIGQUIT", (kill) => kill("SIGQUIT"), null],
  ]
  for (const [how, end, code] of ends) {
    it.live(`${how}, while a plugin starts and another runs with what it has started`, () =>
      Effect.gen(function* () {
        const plugins = { daemon: peer("starts a daemon", { id: "daemon" }), well: NEVER }
        const { child, ended, log, root, sockets } = yield* serving({ plugins, isAwaited: false })
        yield* eventually("one has a daemon", () => processesWith(join(root, "plugins/daemon")).length >= 2)
        yield* eventually("the other starts", () => processesWith(join(root, "plugins/well")).length >= 1)
        end((signal) => child.kill(signal))
        assert.strictEqual(yield* ended, code, log())
        yield* nobodyHas(root)
        if (code === 0) assert.deepStrictEqual(sockets(), [])
      }).pipe(Effect.scoped),
    )
  }
})
