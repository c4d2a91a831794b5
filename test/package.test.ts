/** What users install: `npm run build` makes it, and its exports lead to what is there. */
import { execFileSync } from "node:child_process"
import { existsSync, globSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { assert, describe, it } from "vitest"

const root = resolve(import.meta.dirname, "..")
const run = (...args: ReadonlyArray<string>) => String(execFileSync("node", args, { cwd: root }))

describe("the package", () => {
  it("builds, and can be imported and run as users do", () => {
    run("scripts/build.ts")
    const { bin, exports, version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
    for (const [subpath, targets] of Object.entries<{ types: string; default: string } | string>(exports)) {
      const files = typeof targets === "string" ? [targets] : [targets.types, targets.default]
      for (const file of files) {
        const found = file.includes("*") ? globSync(file, { cwd: root }).length > 10 : existsSync(join(root, file))
        assert.isTrue(found, `${subpath} leads to ${file}`)
      }
    }
    // Without the condition that stands for the sources, the package's own name means dist/.
    const names = run(
      "--input-type=module",
      "--eval",
      `const host = await import("effect-plugin-supervisor")
       const { FakePlugin } = await import("effect-plugin-supervisor/testing")
       const { GoPluginClient } = await import("effect-plugin-supervisor/goplugin")
       const { PostSchema } = await import("effect-plugin-supervisor/contract/post")
       console.log(typeof host.PluginHost.Service, typeof FakePlugin.supervisor, GoPluginClient === host.GoPluginClient, PostSchema.typeName)`,
    )
    assert.strictEqual(names, "function function true mattermost.pluginapi.v1.Post\n")
    assert.include(run(bin["plugin-supervisor"], "--version"), version)
  })
})
