/**
 * `npm test`: every suite, TypeScript and Python, and one line that counts them all. Arguments go to vitest, in which
 * case only that runs. The suites run side by side: each of them waits for much.
 */
import { spawn, type StdioOptions } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ensureDevVenv, ensureLowestVenv, findPython, root } from "./python.ts"

interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** A suite that has run beside another. */
interface Suite {
  readonly counts: Counts
  readonly printed: string
}

const reports = mkdtempSync(join(tmpdir(), "reports-"))
const args = process.argv.slice(2)

/** What a suite that has ended with this status counts as; one that dies before it can count its tests is a failure. */
const countsOf = (status: number | null, read: () => Counts | undefined): Counts => {
  const counts = read() ?? { passed: 0, failed: 1, skipped: 0 }
  return status === 0 || counts.failed > 0 ? counts : { ...counts, failed: 1 }
}

/** Runs a suite to its end. */
const run = (command: string, args: ReadonlyArray<string>, cwd: string, stdio: StdioOptions) =>
  new Promise<{ readonly status: number | null; readonly printed: string }>((resolve) => {
    const child = spawn(command, args, { cwd, stdio })
    const printed: Array<Buffer> = []
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (bytes: Buffer) => printed.push(bytes))
    child.on("error", (error) => resolve({ status: 1, printed: `${error.message}\n` }))
    child.on("close", (status) => resolve({ status, printed: Buffer.concat(printed).toString() }))
  })

const vitest = async (): Promise<Counts> => {
  const report = join(reports, "vitest.json")
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
  const { printed, status } = await run("vitest", ["run", ...reporters, ...args], root, "inherit")
  process.stdout.write(printed)
  return countsOf(status, () => {
    if (!existsSync(report)) return undefined
    const { numFailedTests, numPassedTests, numPendingTests, numTodoTests } = JSON.parse(readFileSync(report, "utf8"))
    return { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests + numTodoTests }
  })
}

const pytest = async (name: string, interpreter: string, ...more: ReadonlyArray<string>): Promise<Suite> => {
  const report = join(reports, `${name}.xml`)
  // Each has a folder of its own for what pytest keeps: those that run at once would count each other's as too many.
  const args = [
    "-m",
    "pytest",
    `--junit-xml=${report}`,
    `--basetemp=${join(reports, name)}`,
    "-p",
    "no:cacheprovider",
    ...more,
  ]
  const { printed, status } = await run(interpreter, args, join(root, "python-sdk"), ["ignore", "pipe", "pipe"])
  const counts = countsOf(status, () => {
    if (!existsSync(report)) return undefined
    const attributes = /<testsuite [^>]*>/.exec(readFileSync(report, "utf8"))?.[0] ?? ""
    const count = (name: string) => Number(new RegExp(` ${name}="(\\d+)"`).exec(attributes)?.[1] ?? 0)
    const failed = count("failures") + count("errors")
    return { passed: count("tests") - failed - count("skipped"), failed, skipped: count("skipped") }
  })
  return { counts, printed }
}

const skipped = (what: string, why: string): Suite => ({
  counts: { passed: 0, failed: 0, skipped: 1 },
  printed: `${what} is skipped: ${why}\n`,
})

/** The SDK's tests, with the newest and then with the oldest versions of what it needs; what they print is for later. */
const pythonSuites = async (): Promise<ReadonlyArray<Suite>> => {
  const python = findPython()
  if ("missing" in python) return [skipped("The Python suite", python.missing)]
  const newest = await pytest("newest", ensureDevVenv(python.command))
  const lowest = ensureLowestVenv(python)
  return [
    newest,
    "missing" in lowest
      ? skipped("The Python suite with the oldest versions", lowest.missing)
      : await pytest("lowest", lowest.interpreter, "-m", "not types"),
  ]
}

// The environment that both use is there before vitest begins.
const beside = args.length > 0 ? undefined : pythonSuites()
const results = [await vitest()]
for (const { counts, printed } of (await beside) ?? []) {
  process.stdout.write(printed)
  results.push(counts)
}
rmSync(reports, { recursive: true, force: true })
const sum = (key: keyof Counts) => results.reduce((total, result) => total + result[key], 0)
process.stdout.write(`\n${sum("passed")} passed, ${sum("failed")} failed, ${sum("skipped")} skipped\n`)
process.exit(sum("failed") > 0 ? 1 : 0)
