/**
 * `npm test`: every suite, TypeScript and Python, and one line that counts them all. Arguments go to vitest, in which
 * case only that runs.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ensureDevVenv, ensureLowestVenv, findPython, root } from "./python.ts"

interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

const reports = mkdtempSync(join(tmpdir(), "reports-"))
const args = process.argv.slice(2)

/** Runs a suite; one that dies before it can count its tests counts as a failure. */
const run = (command: string, args: ReadonlyArray<string>, cwd: string, read: () => Counts | undefined): Counts => {
  const { status } = spawnSync(command, args, { cwd, stdio: "inherit" })
  const counts = read() ?? { passed: 0, failed: 1, skipped: 0 }
  return status === 0 || counts.failed > 0 ? counts : { ...counts, failed: 1 }
}

const vitest = (): Counts => {
  const report = join(reports, "vitest.json")
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
  return run("vitest", ["run", ...reporters, ...args], root, () => {
    if (!existsSync(report)) return undefined
    const { numFailedTests, numPassedTests, numPendingTests, numTodoTests } = JSON.parse(readFileSync(report, "utf8"))
    return { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests + numTodoTests }
  })
}

const pytest = (name: string, interpreter: string): Counts => {
  const report = join(reports, `${name}.xml`)
  return run(interpreter, ["-m", "pytest", `--junit-xml=${report}`], join(root, "python-sdk"), () => {
    if (!existsSync(report)) return undefined
    const attributes = /<testsuite [^>]*>/.exec(readFileSync(report, "utf8"))?.[0] ?? ""
    const count = (name: string) => Number(new RegExp(` ${name}="(\\d+)"`).exec(attributes)?.[1] ?? 0)
    const failed = count("failures") + count("errors")
    return { passed: count("tests") - failed - count("skipped"), failed, skipped: count("skipped") }
  })
}

const skipped = (what: string, why: string): Counts => {
  process.stdout.write(`${what} is skipped: ${why}\n`)
  return { passed: 0, failed: 0, skipped: 1 }
}

/** The SDK's tests, with the newest and with the oldest versions of what it needs. */
const pythonSuites = (): ReadonlyArray<Counts> => {
  const python = findPython()
  if ("missing" in python) return [skipped("The Python suite", python.missing)]
  const newest = ensureDevVenv(python.command)
  const lowest = ensureLowestVenv(python)
  return [
    pytest("newest", newest),
    "missing" in lowest
      ? skipped("The Python suite with the oldest versions", lowest.missing)
      : pytest("lowest", lowest.interpreter),
  ]
}

const results = args.length > 0 ? [vitest()] : [vitest(), ...pythonSuites()]
rmSync(reports, { recursive: true, force: true })
const sum = (key: keyof Counts) => results.reduce((total, result) => total + result[key], 0)
process.stdout.write(`\n${sum("passed")} passed, ${sum("failed")} failed, ${sum("skipped")} skipped\n`)
process.exit(sum("failed") > 0 ? 1 : 0)
