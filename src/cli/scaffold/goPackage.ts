import { fileURLToPath } from "node:url"
import { Effect, FileSystem } from "effect"
import { told } from "../CommandError.ts"
import type { Files } from "./pythonPlugin.ts"

/** Beside `src`, and in the package beside `dist`. */
const SOURCES = new URL("../../../go-sdk/", import.meta.url)

/** The package's name, and its folder in a plugin. */
export const GO_PACKAGE = "supervised"

/** The Go package that serves a plugin, over ttrpc where the host offers that, else as go-plugin does. */
export const goPackage = Effect.gen(function* () {
  const fileSystem = yield* FileSystem.FileSystem
  const folder = fileURLToPath(SOURCES)
  const files: { [path: string]: string } = {}
  for (const name of yield* fileSystem.readDirectory(folder)) {
    if (!/(?<!_test)\.go$/.test(name)) continue
    files[`${GO_PACKAGE}/${name}`] = yield* fileSystem.readFileString(`${folder}${name}`)
  }
  return files satisfies Files
}).pipe(Effect.mapError(told))
