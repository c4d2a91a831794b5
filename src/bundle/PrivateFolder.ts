import { mkdirSync, statSync } from "node:fs"
import { dirname } from "node:path"

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

/**
 * Makes a folder, and those above it that are missing, for their user only (0700). Node's own way to do so (`recursive`,
 * seen in 24) tries for ever where the system says that the folder above is not there although it is, as /proc does, and
 * automounters.
 */
export const makeFolder = (path: string): void => {
  if (isMade(path)) return
  makeFolder(dirname(path))
  if (!isMade(path)) throw new Error(`${path} can't be made in ${dirname(path)}`)
}

/** Makes a folder, if there is none; answers whether there is one now, and not where the one above it seems to be missing. */
const isMade = (path: string): boolean => {
  try {
    mkdirSync(path, { mode: 0o700 })
    return true
  } catch (error) {
    if (codeOf(error) === "EEXIST" && statSync(path).isDirectory()) return true
    if (codeOf(error) === "ENOENT" && dirname(path) !== path) return false
    throw error
  }
}
