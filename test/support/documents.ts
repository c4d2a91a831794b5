/** What the documents say, for tests that hold them to it. */
import { readFileSync } from "node:fs"
import { join, resolve } from "node:path"

/** The project's folder. */
export const root = resolve(import.meta.dirname, "../..")

/** A file of the project. */
export const read = (file: string): string => readFileSync(join(root, file), "utf8")

/** The snippets of a document in one language, in their order. */
export const snippets = (file: string, language: string): ReadonlyArray<string> =>
  [...read(file).matchAll(/^```(\w+)\n(.*?)^```/gms)]
    .filter(([, found]) => found === language)
    .map(([, , body]) => body!)
