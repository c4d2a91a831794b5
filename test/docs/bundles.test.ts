/** The snippets of docs/bundles.md, run as their readers run them, and its tables beside the code. */
import { execFileSync } from "node:child_process"
import { existsSync, globSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { BundleLimits } from "../../src/bundle/BundleLimits.ts"
import { read, root, snippets } from "../support/documents.ts"
import { folder } from "../support/folder.ts"

const [pack = "", sign = "", install = ""] = snippets("docs/bundles.md", "ts")
const [keys = ""] = snippets("docs/bundles.md", "sh")
/** Where the package's name leads to it. */
const programs = join(root, ".cache/docs-bundles")

describe("docs/bundles.md", () => {
  it.live("packs, signs, takes, installs and starts", () =>
    Effect.gen(function* () {
      const cwd = yield* folder({
        "hello/plugin.json": JSON.stringify({ id: "hello", name: "Hello", version: "1.0.0" }),
        "hello/tests/test_hello.py": "",
        "hello/.git/config": "",
      })
      mkdirSync(programs, { recursive: true })
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(programs, { recursive: true })))
      const run = (name: string, program: string) => {
        const file = join(programs, `${name}.ts`)
        writeFileSync(file, program)
        return execFileSync(process.execPath, ["--conditions=effect-plugin-supervisor-source", file], {
          cwd,
          encoding: "utf8",
        })
      }
      assert.include(run("pack", pack), "packed 2 files of hello")
      execFileSync("sh", ["-ec", keys], { cwd, stdio: "pipe" })
      assert.include(run("sign", sign), "hello: Signed")
      assert.isTrue(existsSync(join(cwd, "hello/signature.json")))
      for (let round = 0; round < 2; round++) assert.include(run("install", install), "hello 1.0.0 is installed")
      assert.lengthOf(globSync("data/plugins/hello/*", { cwd }), 1)
    }).pipe(Effect.scoped),
  )

  it("has the limits that there are", () => {
    const { archive, entries, file, freeDisk, ratio, unpacked } = BundleLimits.defaultValue()
    const mib = (bytes: number) => (bytes < 1024 ** 3 ? `${bytes / 1024 ** 2} MiB` : `${bytes / 1024 ** 3} GiB`)
    const table = Object.fromEntries(
      [...read("docs/bundles.md").matchAll(/^\| [^|]+ \| ([^|]+) \| `(\w+)` \|$/gm)].map(([, value, name]) => [
        name,
        value,
      ]),
    )
    assert.deepStrictEqual(table, {
      archive: mib(archive),
      unpacked: mib(unpacked),
      file: mib(file),
      entries: entries.toLocaleString("en"),
      ratio: String(ratio),
      time: "5 minutes",
      freeDisk: mib(freeDisk),
    })
  })
})
