/** The snippets of docs/contracts.md about storage, run as their readers run them: on SQLite, and on PostgreSQL. */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { root, snippets } from "../support/documents.ts"
import { noPostgres } from "../support/findPostgres.ts"
import { temporaryFolder } from "../support/folder.ts"
import { postgresOfFile } from "../support/postgres.ts"

const [program = "", onPostgres = ""] = snippets("docs/contracts.md", "ts").filter(
  (snippet) => snippet.includes("PluginStorage") && !snippet.includes("layerFolder"),
)
/** Where the package's name leads to it. */
const folder = join(root, ".cache/docs-storage")

const run = (name: string, files: { readonly [name: string]: string }, env: { readonly [name: string]: string } = {}) =>
  Effect.gen(function* () {
    const cwd = yield* temporaryFolder
    const program = join(folder, name)
    mkdirSync(program, { recursive: true })
    yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(program, { recursive: true })))
    for (const [file, text] of Object.entries(files)) writeFileSync(join(program, file), text)
    const args = ["--conditions=effect-plugin-supervisor-source", join(program, "program.ts")]
    const output = execFileSync(process.execPath, args, { cwd, encoding: "utf8", env: { ...process.env, ...env } })
    assert.match(output, /country.*NO/s)
    assert.match(output, /mine.*true/s)
    assert.match(output, /keys.*invoice\/1/s)
    return cwd
  })

describe("docs/contracts.md", () => {
  const postgres = postgresOfFile()

  it.live("stores in a file", () =>
    Effect.gen(function* () {
      const cwd = yield* run("sqlite", { "program.ts": program })
      assert.isTrue(existsSync(join(cwd, "data/plugins.db")))
    }),
  )

  it.live.skipIf(noPostgres)("stores on PostgreSQL", () =>
    Effect.gen(function* () {
      const { url } = yield* (yield* postgres).database
      const file = 'const Storage = PluginStorage.layerFile("data/plugins.db")\n'
      assert.include(program, file)
      const onServer = `import { Storage } from "./storage.ts"\n${program.replace(file, "")}`
      const cwd = yield* run("postgres", { "program.ts": onServer, "storage.ts": onPostgres }, { DATABASE_URL: url })
      assert.isFalse(existsSync(join(cwd, "data")))
    }),
  )
})
