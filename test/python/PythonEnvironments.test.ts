/** Environments that real tools make, of packages on the disk. */
import { execFileSync } from "node:child_process"
import {
  appendFileSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { basename, dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted, type Scope, Stream, SubscriptionRef } from "effect"
import { PythonEnvironment } from "../../src/command/PythonEnvironment.ts"
import { folder } from "../support/folder.ts"
import { noPython } from "../support/host.ts"
import { recordLog } from "../support/log.ts"
import { makePackages } from "../support/wheels.ts"
import {
  bundleOf,
  contentOf,
  environments,
  evaluate,
  foldersOf,
  interpreterOf,
  machine,
  packageIndex,
  python,
  SDK,
  uvExecutable,
  vendor,
} from "./support.ts"

const TINY = [
  { name: "tiny", requires: ["tinier>=2"] },
  { name: "tinier", version: "2.0" },
]
const VERSIONS = "import mattermost_plugin, tiny, tinier; print(tiny.version, tinier.version)"

/** The site-packages of an interpreter's environment. */
const packagesOf = (interpreter: string) =>
  evaluate(interpreter, "import sysconfig; print(sysconfig.get_path('purelib'))")

/** Lets a test write into an interpreter's environment. */
const open = (interpreter: string) => execFileSync("chmod", ["-R", "u+w", dirname(dirname(interpreter))])

describe.skipIf(noPython || process.platform === "win32")("PythonEnvironments", () => {
  const live = (name: string, effect: Effect.Effect<void, unknown, Scope.Scope>) =>
    it.live(name, () => Effect.scoped(effect))

  it.live.each(["uv", "pip"] as const)(
    "are made by %s of what a bundle asks for and the SDK, whatever surrounds it",
    (tool) =>
      Effect.gen(function* () {
        const on = yield* machine(TINY)
        const wrong = "raise SystemExit('the wrong one')\n"
        const hostile = yield* folder({
          "pip.conf": "[global]\nindex-url = http://127.0.0.1:9/\n[install]\ntarget = /nonexistent\n",
          ".config/pip/pip.conf": "[global]\nno-index = true\n[install]\ntarget = /nonexistent\n",
          ".config/uv/uv.toml": "nonsense\n",
          "tiny.py": wrong,
          "mattermost_plugin.py": wrong,
          "json.py": wrong,
        })
        const bundle = yield* bundleOf({
          "requirements.txt": "-r more/base.txt\n",
          "more/base.txt": "tiny>=1 # the least\n",
          "uv.toml": "nonsense\n",
          "pyproject.toml": "[tool.uv]\nnonsense = 1\n",
          "json.py": wrong,
        })
        const variables = {
          HOME: hostile,
          PYTHONPATH: hostile,
          PYTHONHOME: hostile,
          VIRTUAL_ENV: hostile,
          PIP_CONFIG_FILE: join(hostile, "pip.conf"),
          PIP_TARGET: hostile,
          UV_CONFIG_FILE: join(hostile, ".config/uv/uv.toml"),
          UV_PROJECT_ENVIRONMENT: hostile,
          UV_LINK_MODE: "hardlink",
          UV_FIND_LINKS: hostile,
        }
        const before = contentOf(bundle.directory)
        const { entries, layer } = recordLog()
        const interpreter = yield* Effect.provide(interpreterOf(bundle, on, { tool }, variables), layer)
        assert.strictEqual(evaluate(interpreter, VERSIONS), "1.0 2.0")
        assert.deepStrictEqual(contentOf(bundle.directory), before, "the bundle is as it was")
        const said = entries.filter(({ level }) => level === "Info").map(({ message }) => message)
        assert.include(said.join("\n"), `my-plugin: its Python environment is made, by ${tool}, of requirements.txt`)
        // After another start of the host, without anything to install from.
        rmSync(on.packages, { recursive: true })
        rmSync(join(on.directory, ".cache"), { recursive: true })
        assert.strictEqual(yield* interpreterOf(bundle, on, { tool }), interpreter)
        const packages = packagesOf(interpreter)
        const modes = ["", ...readdirSync(packages)].map((name) => statSync(join(packages, name)).mode)
        assert.isTrue(modes.every((mode) => (mode & 0o222) === 0))
        const inside = readdirSync(dirname(dirname(dirname(interpreter))))
        assert.deepStrictEqual(inside.toSorted(), ["building", "environment.json", "venv"])
      }).pipe(Effect.scoped),
  )

  live(
    "share no file with the tool's cache, nor with each other",
    Effect.gen(function* () {
      const on = yield* machine(TINY)
      const first = yield* interpreterOf(yield* bundleOf({ "requirements.txt": "tiny" }), on)
      const module = join(packagesOf(first), "tiny.py")
      assert.strictEqual(lstatSync(module).nlink, 1)
      open(first)
      writeFileSync(module, "version = 'poisoned'\n")
      const other = yield* interpreterOf(yield* bundleOf({ "requirements.txt": "tiny\ntinier\n" }), on)
      assert.notStrictEqual(other, first)
      assert.strictEqual(evaluate(other, VERSIONS), "1.0 2.0")
    }),
  )

  live(
    "are one for plugins that ask for the same, though they start at the same time",
    Effect.gen(function* () {
      const on = yield* machine(TINY)
      const bundles = yield* Effect.forEach(["one", "two", "three"], (id) =>
        bundleOf({ "requirements.txt": "tiny" }, id),
      )
      const { layer, messages } = recordLog()
      const found = yield* Effect.gen(function* () {
        const { interpreter } = yield* PythonEnvironment
        return yield* Effect.forEach(bundles, (bundle) => interpreter(bundle), { concurrency: 3 })
      }).pipe(Effect.provide(environments(on)), Effect.provide(layer))
      assert.lengthOf(new Set(found), 1)
      assert.lengthOf(foldersOf(on), 1)
      assert.lengthOf(
        messages().filter((message) => message.includes("environment is made, by")),
        1,
      )
    }),
  )

  const kinds: ReadonlyArray<readonly [name: string, files: { readonly [path: string]: string }]> = [
    ["pyproject.toml", { "pyproject.toml": '[project]\nname = "x"\nversion = "1"\ndependencies = ["tiny"]\n' }],
    [
      "a pyproject.toml beside requirements, which count",
      { "pyproject.toml": '[project]\nname = "x"\ndynamic = ["dependencies"]\n', "requirements.txt": "tiny" },
    ],
    [
      "requirements that name the SDK themselves",
      { "requirements.txt": "tiny\nEffect_Plugin.Supervisor-SDK == 1.0\n" },
    ],
  ]
  it.live.each(kinds)("are made of %s", ([, files]) =>
    Effect.gen(function* () {
      const interpreter = yield* interpreterOf(yield* bundleOf(files), yield* machine(TINY))
      assert.strictEqual(evaluate(interpreter, VERSIONS), "1.0 2.0")
    }).pipe(Effect.scoped),
  )

  it.live.each(["uv.lock", "pylock.toml"])("are made of a lock: %s", (lock) =>
    Effect.gen(function* () {
      const on = yield* machine(TINY)
      const bundle = yield* bundleOf({
        "pyproject.toml":
          '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = ["tiny"]\n' +
          // Settings of the author's own uv.
          '[tool.uv.pip]\ntarget = "/nonexistent/target"\n',
      })
      const uv = (...args: ReadonlyArray<string>) =>
        execFileSync(
          uvExecutable,
          [
            ...args,
            "--offline",
            "--find-links",
            on.packages,
            "--python",
            python,
            "--no-config",
            "--cache-dir",
            join(on.directory, "../cache"),
          ],
          { cwd: bundle.directory, stdio: "pipe" },
        )
      if (lock === "uv.lock") uv("lock")
      else uv("pip", "compile", "pyproject.toml", "--quiet", "--output-file", "pylock.toml")
      const before = contentOf(bundle.directory)
      // Later than the lock, and not taken.
      makePackages(on.packages, [{ name: "tiny", version: "3.0" }])
      const interpreter = yield* interpreterOf(bundle, on)
      assert.strictEqual(evaluate(interpreter, VERSIONS), "1.0 2.0")
      assert.deepStrictEqual(contentOf(bundle.directory), before)
      const error = yield* Effect.flip(interpreterOf(bundle, on, { tool: "pip" }))
      assert.strictEqual(error._tag, "PythonRequirementsError")
      assert.include(error.message, `${lock} is read by uv alone`)
      appendFileSync(join(bundle.directory, lock), "\n# changed\n")
      assert.notStrictEqual(yield* interpreterOf(bundle, on), interpreter)
    }).pipe(Effect.scoped),
  )

  it.live.each(["uv", "pip"] as const)("are made of a bundle's wheels by %s, and of nothing else", (tool) =>
    Effect.gen(function* () {
      const on = yield* machine([{ name: "tiny", version: "9.0" }])
      const { url } = yield* packageIndex(on.packages)
      const bundle = yield* bundleOf({})
      vendor(bundle, [...TINY, { name: "tiny", version: "0.5" }])
      const interpreter = yield* interpreterOf(bundle, on, { tool, offline: false, indexUrl: url })
      assert.strictEqual(evaluate(interpreter, VERSIONS), "1.0 2.0")
      if (tool === "pip") return
      rmSync(join(bundle.directory, "wheels/tiny-1.0-py3-none-any.whl"))
      const other = yield* interpreterOf(bundle, on, { tool })
      assert.strictEqual(evaluate(other, "import tiny; print(tiny.version)"), "0.5")
      vendor(bundle, [{ name: "alien", tag: "cp39-cp39-musllinux_1_1_s390x" }])
      const error = yield* Effect.flip(interpreterOf(bundle, on, { tool }))
      assert.include(error.message, "alien")
      assert.include(error.message, "check the names and the versions")
    }).pipe(Effect.scoped),
  )

  it.live.each(["uv", "pip"] as const)(
    "come from an index that asks for a password, which %s's arguments don't have",
    (tool) =>
      Effect.gen(function* () {
        const on = yield* machine(TINY)
        const { authorizations, seen, url } = yield* packageIndex(on.packages)
        const options = { tool, offline: false, findLinks: [], indexUrl: Redacted.make(url) }
        const interpreter = yield* interpreterOf(yield* bundleOf({ "requirements.txt": "tiny" }), on, options)
        assert.strictEqual(evaluate(interpreter, VERSIONS), "1.0 2.0")
        assert.include([...authorizations], `Basic ${Buffer.from("me:sesame").toString("base64")}`)
        if (process.platform === "linux") assert.isTrue(seen.some((line) => line.includes("install")))
        assert.isFalse(seen.some((line) => line.includes("sesame")))
      }).pipe(Effect.scoped),
  )

  live(
    "have the SDK of a wheel's path, or of a folder's, as it is now",
    Effect.gen(function* () {
      const on = yield* machine()
      makePackages(on.packages, [{ ...SDK, version: "5.0", files: { "mattermost_plugin.py": "version = 5" } }])
      const requirement = join(on.packages, "effect_plugin_supervisor_sdk-5.0-py3-none-any.whl")
      const sdk = { requirement }
      const bundle = yield* bundleOf({ "requirements.txt": "" })
      const version = "import mattermost_plugin; print(mattermost_plugin.version)"
      const first = yield* interpreterOf(bundle, on, { sdk })
      assert.strictEqual(evaluate(first, version), "5")
      makePackages(on.packages, [{ ...SDK, version: "5.0", files: { "mattermost_plugin.py": "version = 5.5" } }])
      const second = yield* interpreterOf(bundle, on, { sdk })
      assert.strictEqual(evaluate(second, version), "5.5")
      const checkout = yield* folder({})
      makePackages(checkout, [{ ...SDK, version: "6.0", buildsInto: join(checkout, "built") }])
      execFileSync("tar", ["-xzf", join(checkout, "effect_plugin_supervisor_sdk-6.0.tar.gz"), "-C", checkout])
      const built = join(checkout, "effect_plugin_supervisor_sdk-6.0")
      const own = { sdk: { requirement: built, module: "effect_plugin_supervisor_sdk" } }
      const third = yield* interpreterOf(bundle, on, own)
      assert.strictEqual(evaluate(third, "import effect_plugin_supervisor_sdk as sdk; print(sdk.version)"), "6.0")
      appendFileSync(join(built, "backend.py"), "\n")
      assert.notStrictEqual(yield* interpreterOf(bundle, on, own), third)
    }),
  )

  live(
    "leave what is pinned as it is when the SDK is added, or fail",
    Effect.gen(function* () {
      const on = yield* machine([
        { name: "tinier", version: "1.0" },
        { name: "tinier", version: "2.0" },
      ])
      makePackages(on.packages, [{ ...SDK, requires: ["tinier>=2"] }])
      const hash = (version: string) =>
        execFileSync("sha256sum", [join(on.packages, `tinier-${version}-py3-none-any.whl`)], {
          encoding: "utf8",
        }).split(" ")[0]
      const pinned = (version: string, sha256 = hash(version)) => ({
        "requirements.txt": `tinier==${version} --hash=sha256:${sha256}\n`,
      })
      const interpreter = yield* interpreterOf(yield* bundleOf(pinned("2.0")), on)
      assert.strictEqual(evaluate(interpreter, "import mattermost_plugin, tinier; print(tinier.version)"), "2.0")
      const conflict = yield* Effect.flip(interpreterOf(yield* bundleOf(pinned("1.0")), on))
      assert.include(conflict.message, "tinier")
      assert.include(conflict.message, "check the names and the versions")
      const wrong = yield* Effect.flip(interpreterOf(yield* bundleOf(pinned("2.0", "0".repeat(64))), on))
      assert.include(wrong.message, "what the index has is not what was locked")
    }),
  )

  live(
    "are not made where the bundle has its own, nor where the host's Python has the SDK already",
    Effect.gen(function* () {
      const on = yield* machine()
      const own = yield* bundleOf({
        "requirements.txt": "nonsense===",
        ".venv/bin/python": { executable: "#!/bin/sh\n" },
      })
      assert.strictEqual(yield* interpreterOf(own, on), join(own.directory, ".venv/bin/python"))
      const plain = yield* bundleOf({ "pyproject.toml": "[tool.ruff]\n" })
      const made = yield* interpreterOf(plain, on)
      assert.strictEqual(evaluate(made, "import mattermost_plugin; print(1)"), "1")
      assert.include(
        readFileSync(join(dirname(dirname(made)), "pyvenv.cfg"), "utf8"),
        "include-system-site-packages = true",
      )
      const bin = yield* folder({ python3: { executable: `#!/bin/sh\nexec ${made} "$@"\n` } })
      assert.strictEqual(yield* interpreterOf(plain, { ...on, bin }), join(bin, "python3"))
      assert.strictEqual(yield* interpreterOf(plain, on, { sdk: false }), join(on.bin, "python3"))
      assert.lengthOf(foldersOf(on), 1)
    }),
  )

  live(
    "are made anew when their Python is gone or was replaced",
    Effect.gen(function* () {
      const on = yield* machine(TINY)
      const bundle = yield* bundleOf({ "requirements.txt": "tiny" })
      const gone = yield* interpreterOf(bundle, on)
      open(gone)
      rmSync(gone)
      symlinkSync("/opt/gone/python3", gone)
      const { layer, messages } = recordLog()
      const second = yield* Effect.provide(interpreterOf(bundle, on), layer)
      assert.include(messages().join("\n"), "is made anew")
      assert.strictEqual(evaluate(second, VERSIONS), "1.0 2.0")
      assert.deepStrictEqual(foldersOf(on), [basename(dirname(dirname(dirname(second))))])
      // What its link leads to is of another version than the host's Python now.
      const other = (real: string) => `#!/bin/sh\n${real} "$@" | sed 's/"version": "[0-9.]*/&1/'\n`
      open(second)
      renameSync(second, `${second}.real`)
      writeFileSync(second, other(`${second}.real`), { mode: 0o755 })
      const third = yield* interpreterOf(bundle, on)
      assert.notStrictEqual(third, second)
      assert.deepStrictEqual(foldersOf(on), [basename(dirname(dirname(dirname(third))))])
      // The host's Python was updated: what was made by the old one stays for whoever runs by it.
      const bin = yield* folder({ python3: { executable: other(python) }, uv: { link: uvExecutable } })
      assert.notStrictEqual(yield* interpreterOf(bundle, { ...on, bin }), third)
      assert.lengthOf(foldersOf(on), 2)
    }),
  )

  live(
    "are removed when no plugin was started by them for long",
    Effect.gen(function* () {
      const on = yield* machine(TINY)
      const kept = yield* bundleOf({ "requirements.txt": "tiny" })
      const old = yield* bundleOf({ "requirements.txt": "tinier" })
      const interpreter = yield* interpreterOf(kept, on)
      const other = yield* interpreterOf(old, on)
      const folderOf = (python: string) => dirname(dirname(dirname(python)))
      const longAgo = (python: string) => utimesSync(join(folderOf(python), "environment.json"), 0, 0)
      longAgo(interpreter)
      longAgo(other)
      const used = yield* Effect.gen(function* () {
        // Whether it was removed already or not: who asks gets one that is there.
        const again = yield* (yield* PythonEnvironment).interpreter(kept)
        yield* Effect.repeat(
          Effect.sync(() => existsSync(folderOf(other))),
          { while: (isThere) => isThere },
        )
        assert.isTrue(existsSync(again))
        return again
      }).pipe(Effect.provide(environments(on)))
      assert.deepStrictEqual(foldersOf(on), [basename(folderOf(used))])
      assert.strictEqual(evaluate(used, VERSIONS), "1.0 2.0")
    }),
  )

  live(
    "tell how far they are",
    Effect.gen(function* () {
      const on = yield* machine(TINY)
      const bundle = yield* bundleOf({ "requirements.txt": "tiny" })
      yield* Effect.gen(function* () {
        const { builds, interpreter } = yield* PythonEnvironment
        const seen = yield* SubscriptionRef.changes(builds).pipe(
          Stream.takeUntil((now) => now.get("my-plugin")?.step === "checking"),
          Stream.runCollect,
          Effect.forkChild({ startImmediately: true }),
        )
        yield* interpreter(bundle)
        const steps = [...(yield* Fiber.join(seen))].flatMap((now) => now.get("my-plugin") ?? [])
        assert.deepStrictEqual(
          [...new Set(steps.map(({ step }) => step))],
          ["waiting", "creating", "installing", "checking"],
        )
        assert.isTrue(steps.some(({ line, step }) => step === "installing" && line.includes("tiny==1.0")))
        assert.strictEqual((yield* SubscriptionRef.get(builds)).size, 0)
      }).pipe(Effect.provide(environments(on)))
    }),
  )
})
