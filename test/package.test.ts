/** What users install: `npm run build` makes it, and its exports lead to what is there. */
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { assert, describe, inject, it } from "vitest"
import { root, snippets } from "./support/documents.ts"
import { noPython } from "./support/host.ts"

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
    // Maps would lead to sources that are not in the package.
    assert.deepStrictEqual(globSync("dist/**/*.map", { cwd: root }), [])
  })

  it("has a name for every type in the declarations of the examples, of the documents, and of what it exports", () => {
    const folder = join(root, ".cache/declared")
    rmSync(folder, { recursive: true, force: true })
    // As it is installed: of what lies in this project the compiler names types by the files that they are in.
    for (const name of ["dist", "package.json"]) {
      cpSync(join(root, name), join(folder, "node_modules/effect-plugin-supervisor", name), { recursive: true })
    }
    const isMade = /[/\\](\.venv|node_modules|__pycache__)$/
    cpSync(join(root, "examples"), join(folder, "examples"), { recursive: true, filter: (from) => !isMade.test(from) })
    mkdirSync(join(folder, "test/fixtures"), { recursive: true })
    for (const name of ["declared.ts", "declaredValues.ts"]) {
      cpSync(join(root, "test/fixtures", name), join(folder, "test/fixtures", name))
    }
    // Beside what they import.
    const documents = globSync(["*.md", "docs/**/*.md", "python-sdk/*.md"], { cwd: root })
    for (const [index, snippet] of documents.flatMap((file) => snippets(file, "ts")).entries()) {
      writeFileSync(join(folder, `examples/own-protocol/snippet${index}.ts`), snippet)
    }
    cpSync(join(folder, "examples/own-contract/generated"), join(folder, "examples/own-protocol/generated"), {
      recursive: true,
    })
    writeFileSync(join(folder, "package.json"), '{"type":"module"}')
    const compilerOptions = { noEmit: false, declaration: true, outDir: "out", rootDir: ".", customConditions: [] }
    const config = { extends: "../../tsconfig.json", compilerOptions, include: ["examples", "test"] }
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config))
    execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", folder], { stdio: "inherit" })
    assert.isTrue(existsSync(join(folder, "out/test/fixtures/declaredValues.d.ts")))
  })

  it.skipIf(noPython)(
    "gives Python plugins the SDK on a machine that has a plain Python only",
    () => {
      const folder = mkdtempSync(join(tmpdir(), "fresh-"))
      try {
        const uv = inject("uv")
        const bin = "python" in uv ? dirname(uv.python) : assert.fail(uv.missing)
        const command = (...args: ReadonlyArray<string>) =>
          execFileSync(process.execPath, [join(root, "dist/main.js"), ...args], {
            cwd: folder,
            env: { ...process.env, PATH: `${bin}:/usr/bin:/bin`, XDG_CACHE_HOME: folder },
            encoding: "utf8",
          })
        const sdk = command("sdk").trim()
        assert.match(sdk, /effect_plugin_supervisor_sdk-[\d.]+-py3-none-any\.whl$/)
        assert.isTrue(existsSync(sdk))
        command("new", "my-plugin")
        const { ok, steps } = JSON.parse(command("check", "my-plugin", "--json"))
        assert.isTrue(ok, JSON.stringify(steps))
        // It was made for the plugin: the interpreter on the PATH has no SDK.
        assert.lengthOf(globSync("plugin-supervisor/environments/*/environment.json", { cwd: folder }), 1)
      } finally {
        execFileSync("chmod", ["-R", "u+w", folder])
        rmSync(folder, { recursive: true })
      }
    },
    600_000,
  )
})
