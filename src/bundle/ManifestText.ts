import { load } from "js-yaml"
import { formatPath, type Problem } from "./Problem.ts"

/** Bytes of a manifest that are read: real ones have some thousand, and whoever parses one holds up everybody else. */
export const MANIFEST_LIMIT: number = 1024 * 1024

/** How deep a manifest may nest: its own fields need six levels, and what reads it later may not take more than a hundred. */
const MAX_DEPTH = 32

/** Values of a manifest. Real ones have hundreds; YAML's aliases make any number of a few. */
const MAX_VALUES = 20_000

/** The value that the text of a manifest stands for: JSON, or YAML unless the file's name ends in `.json`. It may throw. */
export const parseText = (file: string, text: string): unknown =>
  file.endsWith(".json") ? JSON.parse(text) : load(text, { maxDepth: MAX_DEPTH })

/** What makes a value one that can't be kept, sent on and stored as JSON. */
export const valueProblem = (value: unknown): Problem | undefined => {
  let values = 0
  const look = (value: unknown, path: ReadonlyArray<PropertyKey>): Problem | undefined => {
    const problem = (message: string) => ({ path: formatPath(path), message })
    if (++values > MAX_VALUES) return { path: "", message: `expected at most ${MAX_VALUES} values` }
    if (path.length > MAX_DEPTH) return problem(`expected at most ${MAX_DEPTH} levels`)
    if (typeof value === "number" && !Number.isFinite(value)) return problem("expected a finite number")
    if (typeof value === "string" && !value.isWellFormed()) return problem("expected text without half a character")
    if (typeof value !== "object" || value === null) return undefined
    for (const [key, item] of Object.entries(value)) {
      const at = [...path, Array.isArray(value) ? Number(key) : key]
      const found = key.isWellFormed() ? look(item, at) : problem("expected keys without half a character")
      if (found !== undefined) return found
    }
    return undefined
  }
  return look(value, [])
}
