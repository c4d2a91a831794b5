/** What goes wrong while environments are made: packages, indexes, limits, and the death of a tool or of the host. */
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { PythonInstallError } from "../../src/command/PythonEnvironment.ts"
import { folder, temporaryFolder } from "../support/folder.ts"
import { eventually, noPython } from "../support/host.ts"
import {
  bundleOf,
  environments,
  evaluate,
  foldersOf,
  interpreterOf,
  machine,
  python,
  SDK,
  processesWith,
  silentIndex,
} from "./support.ts"

const needy = bundleOf({ "requirements.txt": "tiny\n" })

describe.skipIf(noPython || process.platform !== "linux")("an environment that can't be made", () => {
  it.live.each(["uv", "pip"] as const)("tells in %s's words which package there isn't, and leaves nothing", (tool) =>
    Effect.gen(function* () {
      const on = yield* machine([{ name: "tiny", version: "1.0" }])
      const bundle = yield* bundleOf({ "requirements.txt": "tiny==7.5\n" })
      const error = (yield* Effect.flip(interpreterOf(bundle, on, { tool }))) as PythonInstallError
      assert.strictEqual(error._tag, "PythonInstallError")
      assert.match(error.message, /^plugin my-plugin: (uv )?pip install -r requirements.txt /)
      assert.match(
        error.message,
        /it ended with exit code 1; the host is offline: .*; or check the names and the versions/,
      )
      assert.include(error.output.join("\n"), "tiny==7.5")
      assert.deepStrictEqual(foldersOf(on), [])
    }).pipe(Effect.scoped),
  )

  it.live("tells that no index is reached, and not its password", () =>
    Effect.gen(function* () {
      const on = yield* machine()
      const { close, url } = yield* silentIndex
      close()
      const options = { offline: false, indexUrl: url, variables: { UV_HTTP_RETRIES: "0" } }
      const error = yield* Effect.flip(interpreterOf(yield* needy, on, options))
      assert.include(error.message, "check the network, the proxy and the index's URL")
      assert.notInclude(JSON.stringify(error), "sesame")
    }).pipe(Effect.scoped),
  )

  it.live("says that it is offline", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* silentIndex
      const error = yield* Effect.flip(interpreterOf(yield* needy, yield* machine(), { indexUrl: url }))
      // What is at hand first, by the name of the flag.
      assert.match(
        error.message,
        /the host is offline: put the wheels into .* --find-links \(findLinks\); or check the names/,
      )
      assert.deepStrictEqual(asked, [])
    }).pipe(Effect.scoped),
  )

  it.live.each(["stallLimit", "totalLimit"] as const)("is given up where the index never answers: %s", (limit) =>
    Effect.gen(function* () {
      const on = yield* machine()
      const { asked, url } = yield* silentIndex
      const options = { offline: false, indexUrl: url, [limit]: "3 seconds" }
      const error = yield* Effect.flip(interpreterOf(yield* needy, on, options))
      assert.strictEqual(error._tag, "PythonInstallError")
      assert.include(error.message, limit)
      assert.isNotEmpty(asked)
      assert.deepStrictEqual(foldersOf(on), [])
      assert.strictEqual(processesWith(on.directory).size, 0)
    }).pipe(Effect.scoped),
  )

  it.live("is given up when its plugin's start is", () =>
    Effect.gen(function* () {
      const on = yield* machine()
      const { asked, url } = yield* silentIndex
      const making = interpreterOf(yield* needy, on, { offline: false, indexUrl: url })
      const fiber = yield* Effect.forkChild(making, { startImmediately: true })
      yield* eventually("the index is asked", () => asked.length > 0)
      assert.isAbove(processesWith(on.directory).size, 0)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(foldersOf(on), [])
      assert.strictEqual(processesWith(on.directory).size, 0)
    }).pipe(Effect.scoped),
  )

  it.live("is not taken for one when its tool is killed", () =>
    Effect.gen(function* () {
      const on = yield* machine()
      const { asked, url } = yield* silentIndex
      const making = interpreterOf(yield* needy, on, { offline: false, indexUrl: url })
      const fiber = yield* Effect.forkChild(Effect.flip(making), { startImmediately: true })
      yield* eventually("the index is asked", () => asked.length > 0)
      for (const pid of processesWith(on.directory).keys()) process.kill(pid, "SIGKILL")
      assert.include((yield* Fiber.join(fiber)).message, "it ended with signal SIGKILL")
      assert.deepStrictEqual(foldersOf(on), [])
    }).pipe(Effect.scoped),
  )

  it.live.skipIf(process.platform !== "linux")(
    "is not taken for one when the host is killed, and made anew by the next",
    () =>
      Effect.gen(function* () {
        const on = yield* machine([{ name: "tiny" }])
        const { asked, url } = yield* silentIndex
        const bundle = yield* needy
        // The index is asked for what there are no packages for: at this moment the environment is half there.
        const options = { directory: on.directory, indexUrl: url, sdk: { requirement: SDK.name } }
        const host = yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn(
              process.execPath,
              [join(import.meta.dirname, "../fixtures/makesEnvironment.ts"), JSON.stringify(options), bundle.directory],
              { env: { ...process.env, PATH: `${on.bin}:/usr/bin:/bin` }, stdio: "inherit" },
            ),
          ),
          (host) => Effect.sync(() => host.kill("SIGKILL")),
        )
        yield* eventually("the index is asked", () => asked.length > 0)
        host.kill("SIGKILL")
        yield* eventually("the tool has ended, too", () => processesWith(on.directory).size === 0)
        const [left = ""] = foldersOf(on)
        assert.isTrue(existsSync(join(on.directory, left, "venv/bin/python")), "a killed host can't clean up")
        // The same key, and packages from elsewhere.
        const interpreter = yield* Effect.scoped(interpreterOf(bundle, on))
        assert.strictEqual(evaluate(interpreter, "import tiny; print(tiny.version)"), "1.0")
        assert.notInclude(interpreter, left)
        yield* Effect.scoped(
          Effect.provide(
            eventually("what was left is removed", () => !foldersOf(on).includes(left)),
            environments(on),
          ),
        )
        assert.lengthOf(foldersOf(on), 1)
      }).pipe(Effect.scoped),
  )

  it.live("runs no package's build where builds are off", () =>
    Effect.gen(function* () {
      const marker = join(yield* temporaryFolder, "built")
      const on = yield* machine([{ name: "tiny", buildsInto: marker }])
      const error = yield* Effect.flip(interpreterOf(yield* needy, on, { allowBuilds: false }))
      assert.include(error.message, "there is no wheel for this machine, and builds are off")
      assert.isFalse(existsSync(marker))
      yield* interpreterOf(yield* needy, on)
      assert.isTrue(existsSync(marker))
    }).pipe(Effect.scoped),
  )

  it.live("names the SDK that can't be imported", () =>
    Effect.gen(function* () {
      const on = yield* machine([{ ...SDK, version: "2.0", files: { "mattermost_plugin.py": "import nonsense\n" } }])
      const error = yield* Effect.flip(interpreterOf(yield* bundleOf({}), on))
      assert.include(error.message, "importing mattermost_plugin: it ended with exit code 1")
      assert.include(error.message, "No module named 'nonsense'")
      assert.deepStrictEqual(foldersOf(on), [])
    }).pipe(Effect.scoped),
  )

  it.live("says what the machine lacks", () =>
    Effect.gen(function* () {
      const on = yield* machine([], [])
      const bundle = yield* needy
      const noUv = yield* Effect.flip(interpreterOf(bundle, on, { tool: "uv" }))
      assert.include(noUv.message, "there is no uv on the host's PATH; install it")
      // As Debian's python3 without python3-venv.
      const lean = `#!/bin/sh\n${python} "$@" | sed 's/"missing": \\[\\]/"missing": ["ensurepip"]/'\n`
      const bin = yield* folder({ python3: { executable: lean } })
      const noPip = yield* Effect.flip(interpreterOf(bundle, { ...on, bin }))
      assert.strictEqual(noPip._tag, "PythonToolError")
      assert.include(noPip.message, "lacks ensurepip; install uv, or what makes environments (Debian's python3-venv)")
      const broken = yield* folder({ python3: { executable: "#!/bin/sh\necho oh no >&2; exit 7\n" } })
      const noPython = yield* Effect.flip(interpreterOf(bundle, { ...on, bin: broken }))
      assert.include(noPython.message, "python3 doesn't work as a Python interpreter")
      assert.include(noPython.message, "oh no")
      const file = yield* folder({ environments: "" })
      const noFolder = yield* Effect.flip(interpreterOf(bundle, { ...on, directory: join(file, "environments") }))
      assert.strictEqual(noFolder._tag, "PythonEnvironmentFolderError")
      assert.include(noFolder.message, "make it writable for the host")
    }).pipe(Effect.scoped),
  )
})
