import { createHash } from "node:crypto"
import { Effect, FileSystem, Option, Path, type PlatformError, Result } from "effect"
import { Toml } from "effect/encoding"
import { sha256 } from "../command/Checksum.ts"

/** Folders of a checkout that installing it doesn't read, or makes. */
export const NOT_READ = /^(?:\..*|build|dist|venv|__pycache__|.*\.egg-info)$/

/** What the host adds to an environment. */
export interface HostRequirement {
  /** What is installed; an absolute path, where it is a path. */
  readonly requirement: string
  /** A text that changes with the content of that path; empty for what is no path. */
  readonly content: string
  readonly isFolder: boolean
  /** The name of the distribution, as indexes write it (PEP 503); none where that can't be seen. */
  readonly distribution: string | undefined
}

/** A distribution's name as indexes write it (PEP 503). */
export const normalName = (name: string): string => name.toLowerCase().replaceAll(/[-_.]+/g, "-")

/** Whether a requirement is a path and no name or URL: it has a slash, or the name is that of a wheel or an archive. */
export const isPath = (requirement: string): boolean =>
  /[\\/]|\.(?:whl|zip|tar\.gz)$/i.test(requirement) && !/:\/\/|\s@\s/.test(requirement)

/** Reads what a requirement of the host's stands for now. */
export const makeContentReader = Effect.gen(function* () {
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

  /** The name that a project gives itself. */
  const projectName = (folder: string) =>
    Effect.map(Effect.option(fs.readFileString(path.join(folder, "pyproject.toml"))), (text) => {
      const parsed = Toml.parse(Option.getOrElse(text, () => ""))
      if (Result.isFailure(parsed)) return undefined
      const name = (parsed.success as { readonly project?: { readonly name?: unknown } }).project?.name
      return typeof name === "string" ? name : undefined
    })

  return Effect.fn("RequirementContent.read")(function* (requirement: string) {
    // A plain name is no folder that happens to have it.
    if (!isPath(requirement)) {
      const name = /^[a-z0-9][\w.-]*(?=\s*(?:$|[[@;<>=!~(]))/i.exec(requirement)?.[0]
      return {
        requirement,
        content: "",
        isFolder: false,
        distribution: name && normalName(name),
      } satisfies HostRequirement
    }
    const absolute = path.resolve(requirement)
    const isFolder = (yield* fs.stat(absolute)).type === "Directory"
    const files = isFolder ? yield* filesIn(absolute) : [absolute]
    const hash = createHash("sha256")
    for (const file of [...files].sort()) {
      hash.update(path.relative(absolute, file)).update("\0")
      hash.update(yield* sha256(fs, file))
    }
    const name = isFolder ? yield* projectName(absolute) : path.basename(absolute).split("-")[0]
    return {
      requirement: absolute,
      content: hash.digest("hex"),
      isFolder,
      distribution: name && normalName(name),
    } satisfies HostRequirement
  })
})
