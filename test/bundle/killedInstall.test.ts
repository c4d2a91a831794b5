/** A host that is killed at any step of an install, an upgrade or a removal: the next one finds the old or the new. */
import { spawnSync } from "node:child_process"
import { cpSync, globSync, readdirSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { checkIntegrity } from "../../src/bundle/BundleIntegrity.ts"
import { BundleStore } from "../../src/bundle/BundleStore.ts"
import { PluginStates } from "../../src/storage/PluginStates.ts"
import { folder, temporaryFolder } from "../support/folder.ts"
import { install, remove, services } from "./installing.ts"
import { archive, entry } from "./tarBytes.ts"

const program = resolve(import.meta.dirname, "../fixtures/installThatDies.ts")

/** A plugin in a version. */
const plugin = (version: string) =>
  archive(
    entry("plugin.json", { content: JSON.stringify({ id: "hello", name: "Hello", version }) }),
    entry("lib/plugin.py", { content: `VERSION = "${version}"\n` }),
  )

/** The version that the next host finds, after it has looked at everything. */
const nextStart = Effect.gen(function* () {
  const store = yield* BundleStore
  const states = yield* PluginStates
  const swept = yield* store.sweep(yield* states.paths)
  assert.deepStrictEqual(swept.missing, [])
  const current = (yield* states.get("hello"))?.current
  if (current === undefined) return undefined
  const { directory, manifest } = yield* store.open(current.path)
  yield* checkIntegrity(directory, current.hash)
  assert.strictEqual(manifest.version, current.version)
  return manifest.version
})

const actions = [
  { action: "install", before: undefined, after: "2.0.0", most: 40 },
  { action: "upgrade", before: "1.0.0", after: "2.0.0", most: 50 },
  { action: "remove", before: "1.0.0", after: undefined, most: 15 },
] as const

describe("a host that is killed", () => {
  it.live.each(actions)(
    "at any step of $action leaves the old state or the new one",
    ({ action, after, before, most }) =>
      Effect.gen(function* () {
        const archives = yield* folder({})
        for (const version of ["1.0.0", "2.0.0"]) writeFileSync(join(archives, version), plugin(version))
        const template = yield* temporaryFolder
        yield* Effect.provide(before === undefined ? Effect.void : install(join(archives, before)), services(template))

        const found: Array<string | undefined> = []
        let steps = 0
        for (let at = 0; steps === 0; at++) {
          const root = yield* temporaryFolder
          cpSync(template, root, { recursive: true })
          const child = spawnSync(process.execPath, [program, root, action, join(archives, "2.0.0"), String(at)], {
            encoding: "utf8",
          })
          if (child.signal !== "SIGKILL") {
            assert.strictEqual(child.status, 0, child.stderr)
            steps = Number(child.stdout)
            assert.strictEqual(at, steps, "each step has killed one")
          }
          found.push(yield* Effect.provide(nextStart, services(root)))
          const bundles = globSync("plugins/{.staging,.trash}/*", { cwd: root }).concat(
            globSync("plugins/*/*", { cwd: root }),
          )
          assert.lengthOf(bundles, found.at(-1) === undefined ? 0 : 1)
          assert.deepStrictEqual(
            readdirSync(join(root, "plugins")).filter((name) => !name.startsWith(".")),
            found.at(-1) === undefined ? [] : ["hello"],
          )
          // Whoever tries again succeeds.
          yield* Effect.provide(
            action === "remove" ? remove("hello") : install(join(archives, "2.0.0")),
            services(root),
          )
          assert.strictEqual(yield* Effect.provide(nextStart, services(root)), after)
        }
        assert.isBelow(steps, most)
        assert.isAbove(steps, 2)
        const turn = found.indexOf(after)
        assert.isAbove(turn, 0)
        assert.deepStrictEqual(
          found,
          found.map((_, index) => (index < turn ? before : after)),
          "there is one step that counts",
        )
      }).pipe(Effect.scoped),
    600_000,
  )
})
