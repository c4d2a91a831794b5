import { dirname } from "node:path"
import type { TestProject } from "vitest/node"
import { ensureDevVenv, findPython } from "../../scripts/python.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** The folder of the interpreter that has the SDK; or why there is none. */
    python: { readonly bin: string } | { readonly missing: string }
  }
}

/** Sets up the environment that Python plugins run in during the tests, once for all of them. */
export default function setup(project: TestProject): void {
  const python = findPython()
  if ("missing" in python) {
    process.stderr.write(`Tests with Python plugins are skipped: ${python.missing}\n`)
    project.provide("python", python)
    return
  }
  project.provide("python", { bin: dirname(ensureDevVenv(python.command)) })
}
