/**
 * `npm test`: every suite, TypeScript and Python, and one line that counts them all. Arguments go to vitest, in which
 * case only that runs.
 */
import { spawn, spawnSync } from "node:child_process"
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

/** What a suite that has ended with this status counts as; one that dies before it can count its tests is a failure. */
const countsOf = (status: number | null, read: () => Counts | undefined): Counts => {
  const counts = read() ?? { passed: 0, failed: 1, skipped: 0 }
  return status === 0 || counts.failed > 0 ? counts : { ...counts, failed: 1 }
}

/** Runs a suite beside others; what it prints is shown when it has ended. */
const runBeside = (command: string, args: ReadonlyArray<string>, cwd: string): Promise<number | null> =>
  new Promise((resolve) => {
    const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"] })
    const printed: Array<Buffer> = []
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes: Buffer) => printed.push(bytes))
    const ended = (status: number | null) => {
      process.stdout.write(Buffer.concat(printed))
      resolve(status)
    }
    child.on("error", (error) => {
      printed.push(Buffer.from(`${error.message}\n`))
      ended(1)
    })
    child.on("close", ended)
  })

const vitest = (): Counts => {
  const report = join(reports, "vitest.json")
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
  const { status } = spawnSync("vitest", ["run", ...reporters, ...args], { cwd: root, stdio: "inherit" })
  return countsOf(status, () => {
    if (!existsSync(report)) return undefined
    const { numFailedTests, numPassedTests, numPendingTests, numTodoTests } = JSON.parse(readFileSync(report, "utf8"))
    return { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests + numTodoTests }
  })
}

const pytest = async (name: string, interpreter: string, ...more: ReadonlyArray<string>): Promise<Counts> => {
  const report = join(reports, `${name}.xml`)
  // Each has a folder of its own for what pytest keeps: they would count each other's as too many.
  const args = [
    "-m",
    "pytest",
    `--junit-xml=${report}`,
    `--basetemp=${join(reports, name)}`,
    "-p",
    "no:cacheprovider",
    ...more,
  ]
  const status = await runBeside(interpreter, args, join(root, "python-sdk"))
  return countsOf(status, () => {
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

/** The SDK's tests, with the newest and with the oldest versions of what it needs, side by side: they wait for much. */
const pythonSuites = async (): Promise<ReadonlyArray<Counts>> => {
  const python = findPython()
  if ("missing" in python) return [skipped("The Python suite", python.missing)]
  const newest = ensureDevVenv(python.command)
  const lowest = ensureLowestVenv(python)
  return Promise.all([
    pytest("newest", newest),
    "missing" in lowest
      ? skipped("The Python suite with the oldest versions", lowest.missing)
      : pytest("lowest", lowest.interpreter, "-m", "not types"),
  ])
}

const results = args.length > 0 ? [vitest()] : [vitest(), ...(await pythonSuites())]
rmSync(reports, { recursive: true, force: true })
const sum = (key: keyof Counts) => results.reduce((total, result) => total + result[key], 0)
process.stdout.write(`\n${sum("passed")} passed, ${sum("failed")} failed, ${sum("skipped")} skipped\n`)
process.exit(sum("failed") > 0 ? 1 : 0)
