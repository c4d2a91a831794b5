/**
 * `npm run soak`: the faults of `npm test` again and again, for what shows only then. The first argument may be a factor:
 * 10, the default, is half an hour to an hour; others say which tests. Tells what was run, how often, and how long it took.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { root } from "./python.ts"

const [first = "", ...rest] = process.argv.slice(2)
const factor = Number(first) > 0 ? Number(first) : 10
const given = factor === Number(first) ? rest : process.argv.slice(2)
const tests = given.length > 0 ? given : ["test/faults", "test/conformance/connection.test.ts"]

const reports = mkdtempSync(join(tmpdir(), "reports-"))
const report = join(reports, "vitest.json")
const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
process.stdout.write(`${tests.join(" ")} with a factor of ${factor}\n`)
const { status } = spawnSync("vitest", ["run", ...reporters, ...tests], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, SOAK: String(factor) },
})

interface Report {
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly assertionResults: ReadonlyArray<{
      readonly fullName: string
      readonly status: string
      readonly duration?: number
    }>
  }>
}

const files = existsSync(report) ? (JSON.parse(readFileSync(report, "utf8")) as Report).testResults : []
rmSync(reports, { recursive: true, force: true })
for (const { assertionResults, name } of files) {
  process.stdout.write(`\n${name.slice(root.length + 1)}\n`)
  for (const { duration = 0, fullName, status } of assertionResults) {
    process.stdout.write(`  ${status}: ${fullName} (${Math.round(duration / 1000)} s)\n`)
  }
}
process.exit(status ?? 1)
