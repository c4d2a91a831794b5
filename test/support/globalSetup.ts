import { cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import type { TestProject } from "vitest/node"
import { ensureDevVenv, findPython, root } from "../../scripts/python.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** The folder of the interpreter that has the SDK; or why there is none. */
    python: { readonly bin: string } | { readonly missing: string }
    /** The example plugins, without the environments that `npm start` makes for them. */
    examples: string
  }
}

/** Sets up what all tests share, once: the environment that Python plugins run in, and a copy of the examples. */
export default function setup(project: TestProject): () => void {
  const python = findPython()
  if ("missing" in python) {
    process.stderr.write(`Tests with Python plugins are skipped: ${python.missing}\n`)
    project.provide("python", python)
  } else {
    project.provide("python", { bin: dirname(ensureDevVenv(python.command)) })
  }
  const examples = mkdtempSync(join(tmpdir(), "examples-"))
  cpSync(join(root, "examples"), examples, {
    recursive: true,
    filter: (source) => !source.includes(".venv") && !source.includes("hello-go"),
  })
  project.provide("examples", examples)
  return () => rmSync(examples, { recursive: true, force: true })
}
