import { execFileSync, spawnSync } from "node:child_process"
import { cpSync, existsSync, globSync, mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import type { TestProject } from "vitest/node"
import { ensureDevVenv, ensureVenv, ensureWheel, findPython, root } from "../../scripts/python.ts"
import { BROWSERS, browserPath } from "./browser.ts"
import { noPostgres } from "./findPostgres.ts"
import { CONTROLLERS, LAST_PID, mayChangeUser, mayChooseIds, mayMount, MOUNTING } from "./privileges.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** The folder of the interpreter that has the SDK, and the SDK's wheel; or why there is none. */
    python: { readonly bin: string; readonly wheel: string } | { readonly missing: string }
    /** A Python without the SDK, and uv; or why there is none. */
    uv: { readonly executable: string; readonly python: string } | { readonly missing: string }
    /** The folder of the Go fixtures' programs; or why there is none. */
    goFixtures: { readonly directory: string } | { readonly missing: string }
    /** The example plugins, without the environments that `npm start` makes for them. */
    examples: string
  }
}

const skipped = (what: string, why: string): void => void process.stderr.write(`${what}: skipped, since ${why}\n`)

/** Builds the Go fixtures, unless they were since they last changed. The first time, go-plugin and gRPC are compiled. */
const goFixtures = () => {
  if (spawnSync("go", ["version"]).status !== 0) {
    const missing = "there is no go on the PATH"
    skipped("Tests with Go plugins and hosts", missing)
    return { missing }
  }
  const source = join(root, "test/fixtures/goplugin")
  const goSdk = join(root, "go-sdk")
  const directory = join(root, ".cache/go-fixtures")
  const own = globSync(["go/**/*.go", "go/go.*", "go/build.sh", "proto/**/*.proto"], { cwd: source })
  const sources = [...own, ...globSync("*.go", { cwd: goSdk }).map((file) => join(goSdk, file))]
  const changed = Math.max(...sources.map((file) => statSync(resolve(source, file)).mtimeMs))
  const programs = ["fixture", "host", "supervised", "ttrpc"].map((name) => join(directory, name))
  if (!programs.every((program) => existsSync(program) && statSync(program).mtimeMs > changed)) {
    execFileSync(join(source, "go/build.sh"), [directory], { stdio: "inherit" })
  }
  return { directory }
}

/** Sets up what all tests share, once: the environment that Python plugins run in, Go's programs, and the examples. */
export default function setup(project: TestProject): () => void {
  const python = findPython()
  if ("missing" in python) {
    skipped("Tests with Python plugins", python.missing)
    project.provide("python", python)
    project.provide("uv", python)
  } else {
    const interpreter = ensureDevVenv(python.command)
    project.provide("python", { bin: dirname(interpreter), wheel: ensureWheel(interpreter) })
    const own = ensureVenv(".cache/uv", "uv", python.command, [])
    // The command may be a script that looks for a Python elsewhere when it is run from elsewhere.
    const base = execFileSync(python.command, ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim()
    project.provide("uv", { executable: join(dirname(own), "uv"), python: base })
  }
  project.provide("goFixtures", goFixtures())
  if (process.platform === "linux" && !mayMount) skipped("The test with a full disk", `\`${MOUNTING.join(" ")}\` fails`)
  if (process.platform === "linux" && !mayChooseIds) {
    skipped("The test with a process id that is another's now", `${LAST_PID} can't be written`)
  }
  if (process.platform === "linux" && !mayChangeUser) {
    skipped("Tests with plugins of another user", "this process may not change its user, or there is no setpriv")
  }
  const missing = ["memory", "pids", "cpu"].filter((controller) => !CONTROLLERS.has(controller))
  if (process.platform === "linux" && missing.length > 0) {
    skipped("Limits by control groups", `this process may not use the controllers ${missing.join(", ")} (cgroup v2)`)
  }
  if (browserPath === undefined) {
    skipped("The test in a browser", `there is none of ${BROWSERS.join(", ")} on the PATH`)
  }
  if (noPostgres !== undefined) skipped("Tests with PostgreSQL", noPostgres)
  const examples = mkdtempSync(join(tmpdir(), "examples-"))
  cpSync(join(root, "examples"), examples, {
    recursive: true,
    filter: (source) => !source.includes(".venv") && !source.includes("hello-go"),
  })
  project.provide("examples", examples)
  return () => rmSync(examples, { recursive: true, force: true })
}
