/** Packages that a host gives to all its plugins: that of their contract, say. */
import { execFileSync } from "node:child_process"
import { appendFileSync, existsSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { noPython } from "../support/host.ts"
import { makePackages, type Package } from "../support/wheels.ts"
import { bundleOf, contentOf, evaluate, interpreterOf, machine, SDK, vendor } from "./support.ts"

const HOME: Package = { name: "home-plugin", requires: ["effect-plugin-supervisor-sdk>=0.1.0"] }
const WHEEL = "home_plugin-1.0-py3-none-any.whl"
const VERSION = "import mattermost_plugin, home_plugin; print(home_plugin.version)"

/** A machine on which these can't be found by their names, but by their paths alone. */
const withHome = Effect.fnUntraced(function* (...more: ReadonlyArray<Package>) {
  const on = yield* machine(more)
  const own = join(on.packages, "../own")
  makePackages(own, [HOME])
  return { on, own, wheel: join(own, WHEEL) }
})

describe.skipIf(noPython || process.platform === "win32")("packages of the host", () => {
  it.live.each(["uv", "pip"] as const)("are in every environment that %s makes", (tool) =>
    Effect.gen(function* () {
      const { on, wheel } = yield* withHome({ name: "tiny" })
      const options = { tool, packages: [wheel] }
      const none = yield* interpreterOf(yield* bundleOf({}), on, options)
      assert.strictEqual(evaluate(none, VERSION), "1.0")
      const asked = yield* interpreterOf(yield* bundleOf({ "requirements.txt": "tiny\nhome-plugin\n" }), on, options)
      assert.strictEqual(evaluate(asked, `${VERSION}; import tiny`), "1.0")
      // A host without the option doesn't take those for its own.
      const without = yield* interpreterOf(yield* bundleOf({}), on, { tool })
      assert.strictEqual(evaluate(without, "import importlib.util as u; print(u.find_spec('home_plugin'))"), "None")
    }).pipe(Effect.scoped),
  )

  it.live.each(["uv", "pip"] as const)("are built by %s beside their folder, which is left as it is", (tool) =>
    Effect.gen(function* () {
      const { on, own } = yield* withHome()
      const marker = join(on.packages, "../built")
      makePackages(own, [{ name: "made-here", buildsInto: marker }])
      execFileSync("tar", ["-xzf", join(own, "made_here-1.0.tar.gz"), "-C", own])
      const project = join(own, "made_here-1.0")
      appendFileSync(join(project, "backend.py"), "\nimport os; os.makedirs('left-by-the-build', exist_ok=True)\n")
      const before = contentOf(project)
      const options = { tool, packages: [project] }
      const bundle = yield* bundleOf({})
      const first = yield* interpreterOf(bundle, on, options)
      assert.strictEqual(evaluate(first, "import made_here; print(made_here.version)"), "1.0")
      assert.deepStrictEqual(contentOf(project), before)
      assert.isFalse(existsSync(join(project, "left-by-the-build")))
      assert.strictEqual(yield* interpreterOf(bundle, on, options), first)
      appendFileSync(join(project, "backend.py"), "# changed\n")
      assert.notStrictEqual(yield* interpreterOf(bundle, on, options), first)
    }).pipe(Effect.scoped),
  )

  it.live.each(["uv", "pip"] as const)("and the SDK are what a bundle's wheels may need, by %s", (tool) =>
    Effect.gen(function* () {
      const sdk: Package = { ...SDK, version: "2.0", requires: ["needed"] }
      const { on, wheel } = yield* withHome(sdk, { name: "needed", version: "3.0" })
      const bundle = yield* bundleOf({})
      vendor(bundle, [HOME, { name: "needed", version: "2.5" }])
      const own = { tool, sdk: { requirement: join(on.packages, "effect_plugin_supervisor_sdk-2.0-py3-none-any.whl") } }
      const needed = `${VERSION}; import needed; print(needed.version)`
      // The wheels' own versions count, also for what the SDK needs.
      assert.strictEqual(evaluate(yield* interpreterOf(bundle, on, own), needed), "1.0\n2.5")
      const other = yield* bundleOf({})
      vendor(other, [{ ...HOME, version: "0.9" }])
      const interpreter = yield* interpreterOf(other, on, { ...own, packages: [wheel] })
      assert.strictEqual(evaluate(interpreter, needed), "0.9\n3.0", "the bundle's own version of the package counts")
      const asking = yield* bundleOf({ "requirements.txt": "asking\n" })
      vendor(asking, [{ name: "asking", requires: ["home-plugin"] }])
      const found = yield* interpreterOf(asking, on, { ...own, packages: [wheel] })
      assert.strictEqual(evaluate(found, `import asking; ${VERSION}`), "1.0")
    }).pipe(Effect.scoped),
  )

  it.live.each(["uv", "pip"] as const)("change nothing that hashes have fixed, by %s", (tool) =>
    Effect.gen(function* () {
      const { on, own } = yield* withHome({ name: "tiny" }, { name: "tiny", version: "2.0" })
      makePackages(own, [{ ...HOME, requires: ["tiny"] }])
      const sum = execFileSync("sha256sum", [join(on.packages, "tiny-1.0-py3-none-any.whl")], { encoding: "utf8" })
      const text = `tiny==1.0 --hash=sha256:${sum.slice(0, 64)}\n`
      const bundle = yield* bundleOf({ "requirements.txt": text })
      const interpreter = yield* interpreterOf(bundle, on, { tool, packages: [join(own, WHEEL)] })
      assert.strictEqual(evaluate(interpreter, `${VERSION}; import tiny; print(tiny.version)`), "1.0\n1.0")
    }).pipe(Effect.scoped),
  )

  it.live("are named where they are not there", () =>
    Effect.gen(function* () {
      const { on } = yield* withHome()
      const error = yield* Effect.flip(interpreterOf(yield* bundleOf({}), on, { packages: ["./nowhere/home-plugin"] }))
      assert.strictEqual(error._tag, "PythonToolError")
      assert.include(error.message, `the package ${join(process.cwd(), "nowhere/home-plugin")} is not there; build it`)
    }).pipe(Effect.scoped),
  )
})
