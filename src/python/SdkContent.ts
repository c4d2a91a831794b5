import { createHash } from "node:crypto"
import { Effect, FileSystem, Path, type PlatformError } from "effect"
import { sha256 } from "../command/Checksum.ts"

/** Folders of a checkout that installing it doesn't read, or makes. */
const NOT_READ = /^(?:\..*|build|dist|venv|__pycache__|.*\.egg-info)$/

/** What an SDK's requirement stands for now, where it is a path; the absolute path, and a text that changes with its content. */
export const makeSdkReader = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path

  const filesIn = (folder: string): Effect.Effect<ReadonlyArray<string>, PlatformError.PlatformError> =>
    Effect.flatMap(fs.readDirectoryEntries(folder), (entries) =>
      Effect.map(
        Effect.forEach(
          entries.filter(({ name }) => !NOT_READ.test(name)),
          ({ name, type }) => {
            const file = path.join(folder, name)
            return type === "Directory" ? filesIn(file) : Effect.succeed(type === "File" ? [file] : [])
          },
        ),
        (found) => found.flat(),
      ),
    )

  return Effect.fn("SdkContent.read")(function* (requirement: string) {
    const info = yield* Effect.option(fs.stat(requirement))
    // Any other requirement is a name or a URL; a plain name is no folder that happens to have it.
    if (info._tag === "None" || !/[/\\.]/.test(requirement)) return { requirement, content: "" }
    const absolute = path.resolve(requirement)
    const files = info.value.type === "Directory" ? yield* filesIn(absolute) : [absolute]
    const hash = createHash("sha256")
    for (const file of [...files].sort()) {
      hash.update(path.relative(absolute, file)).update("\0")
      hash.update(yield* sha256(fs, file))
    }
    return { requirement: absolute, content: hash.digest("hex") }
  })
})
