import { Result } from "effect"
import { DEPTH_LIMIT, PATH_LIMIT, SEGMENT_LIMIT } from "./BundleLimits.ts"

/** Characters of a name that a message quotes. */
const MAX_QUOTED = 120

/** A name that a stranger has chosen, for a message: on one line, with what can't be seen made visible, and not too long. */
export const printable = (name: string): string => {
  const characters = Array.from(name.slice(0, 2 * MAX_QUOTED))
  const text = characters
    .slice(0, MAX_QUOTED)
    .join("")
    .replaceAll(/[\p{C}\p{Zl}\p{Zp}\ufffd"\\]/gu, (character) =>
      character === '"' || character === "\\" ? `\\${character}` : `\\u{${character.codePointAt(0)!.toString(16)}}`,
    )
  return `"${text}${name.length > text.length && characters.length >= MAX_QUOTED ? "…" : ""}"`
}

/** A path in a bundle, its names separated by `/`; or what is wrong with it. The name of the root itself is empty. */
export const entryPath = (name: string): Result.Result<string, string> => {
  // U+FFFD stands where the bytes were no UTF-8.
  if (name.includes("\ufffd")) return Result.fail("has a name that is no UTF-8")
  if (/\p{Cc}/u.test(name)) return Result.fail("has a control character in its name")
  if (name.includes("\\")) return Result.fail("has a backslash in its name; separate folders with /")
  if (name === "") return Result.fail("has no name")
  if (name.startsWith("/") || /^[A-Za-z]:/.test(name)) return Result.fail("has an absolute path")
  if (Buffer.byteLength(name) > PATH_LIMIT) return Result.fail(`has a path of more than ${PATH_LIMIT} bytes`)
  const path = name.replace(/^(?:\.\/)+/, "").replace(/\/$/, "")
  // "." and "./" are how some tools name the folder that was packed.
  if (path === "" || path === ".") return Result.succeed("")
  const names = path.split("/")
  if (names.includes("..")) return Result.fail("leads out of the bundle by ..")
  if (names.some((segment) => segment === "" || segment === "."))
    return Result.fail("has an empty name or . in its path")
  if (names.length > DEPTH_LIMIT) return Result.fail(`lies more than ${DEPTH_LIMIT} folders deep`)
  if (names.some((segment) => Buffer.byteLength(segment) > SEGMENT_LIMIT)) {
    return Result.fail(`has a name of more than ${SEGMENT_LIMIT} bytes`)
  }
  return Result.succeed(path)
}

/** One text for all names that some file system takes for the same. */
const folded = (path: string): string => path.normalize("NFC").toUpperCase().toLowerCase().normalize("NFC")

/**
 * The paths of one bundle, which have to be different files on every file system: also where case, or the way that an
 * accent is written, makes no difference.
 */
export class EntryPaths {
  readonly #seen = new Map<string, { readonly path: string; readonly isFolder: boolean }>()

  /** Adds a path; answers what is wrong with it. A folder may come twice, or before or after what is in it. */
  add(path: string, isFolder: boolean): string | undefined {
    const names = path.split("/")
    for (let depth = 1; depth <= names.length; depth++) {
      const isLast = depth === names.length
      const problem = this.#addOne(names.slice(0, depth).join("/"), !isLast || isFolder)
      if (problem !== undefined) return problem
    }
    return undefined
  }

  #addOne(path: string, isFolder: boolean): string | undefined {
    const key = folded(path)
    const other = this.#seen.get(key)
    if (other === undefined) {
      this.#seen.set(key, { path, isFolder })
      return undefined
    }
    if (other.path !== path) {
      return `has a name that is the same as that of ${printable(other.path)} where case or the form of accents does not count`
    }
    if (other.isFolder !== isFolder) return `has ${printable(path)} both as a file and as a folder`
    return isFolder ? undefined : "is there twice"
  }
}
