import { createHash } from "node:crypto"
import { Effect, FileSystem, Path, Result, Stream } from "effect"
import { Toml } from "effect/encoding"
import { PathSanitizer } from "../bundle/PathSanitizer.ts"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import { sha256 } from "../command/Checksum.ts"
import { PythonRequirementsError } from "../command/PythonEnvironment.ts"

/** A file that decides what is installed. Its text is kept where it is read anyway; wheels are only named. */
export interface RequirementFile {
  /** Relative to the bundle, with `/`. */
  readonly path: string
  readonly sha256: string
  readonly content: { readonly text: string } | { readonly source: string }
}

/** What a bundle asks for. */
export interface Requirements {
  /** What decides, in words: the name of the file, or `wheels`, or `none`. */
  readonly kind: "uv.lock" | "pylock.toml" | "requirements.txt" | "pyproject.toml" | "wheels" | "none"
  readonly files: ReadonlyArray<RequirementFile>
  /** The distributions for which there are wheels in the bundle, with the versions of these. */
  readonly wheels: ReadonlyMap<string, ReadonlySet<string>>
  /** Whether what is installed is fixed by a lock or by hashes, so that nothing can be added to it on the way. */
  readonly isLocked: boolean
}

/** The folder of wheels that a bundle may have. */
export const WHEELS = "wheels"

/** The longest file of requirements, in bytes: a lock of some thousand packages fits. */
const FILE_LIMIT = 4 * 1024 * 1024

/** How many files may include each other, and how many wheels there may be. */
const COUNT_LIMIT = 1000

/** The lines of a file of requirements, as pip reads it: a backslash continues a line, a blank before `#` begins a comment. */
const linesOf = (text: string): ReadonlyArray<string> =>
  text
    .replaceAll(/\\\r?\n/g, " ")
    .split(/\r?\n/)
    .map((line) => line.replace(/(^|\s)#.*$/, "").trim())
    .filter((line) => line !== "")

/** Whether requirements name one of these distributions, in any of the ways that its name may be written (PEP 503). */
export const namesAny = ({ files }: Requirements, distributions: ReadonlyArray<string>): boolean =>
  files.some(
    ({ content }) =>
      "text" in content &&
      linesOf(content.text).some((line) => {
        const normal = line.toLowerCase().replaceAll(/[-_.]+/g, "-")
        return distributions.some((name) => new RegExp(`(?<![a-z0-9-])${name}(?![a-z0-9]|-[a-z])`).test(normal))
      }),
  )

/** What a line refers to beside packages: another file of requirements, or a file to install. */
const referenceOf = (line: string): { readonly include: string } | { readonly local: string } | undefined => {
  const include = /^(?:-r|-c|--requirement|--constraint)(?:\s*=\s*|\s*)(\S.*)$/.exec(line)?.[1]
  if (include !== undefined) return { include }
  if (line.startsWith("--") || /^-[a-z]\b/.test(line)) return undefined
  const [, url] = /^[\w.-]+(?:\[[^\]]*\])?\s*@\s*(\S+)/.exec(line) ?? []
  const target = url ?? /^[^\s;]+/.exec(line)?.[0] ?? ""
  if (/^file:/i.test(target)) return { local: target }
  if (/^[a-z][a-z+]*:\/\//i.test(target)) return undefined
  return /[/\\]|^\.|\.(?:whl|zip|tar\.gz)$/i.test(target) ? { local: target } : undefined
}

/** Reads what bundles ask for, and writes nothing into them. */
export const makeReader = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const sanitizer = yield* PathSanitizer

  return Effect.fn("Requirements.read")(function* (
    { directory, manifest: { id: pluginId } }: PluginBundle,
    hasUv: boolean,
  ): Effect.fn.Return<Requirements, PythonRequirementsError> {
    const wrong = (file: string, reason: string) => new PythonRequirementsError({ pluginId, file, reason })
    const isThere = (name: string) => Effect.orElseSucceed(fs.exists(path.join(directory, name)), () => false)

    /** A file in the bundle, wherever in it a link leads. */
    const inBundle = Effect.fnUntraced(function* (file: string) {
      const real = yield* Effect.mapError(sanitizer.resolve(directory, file), ({ message }) =>
        wrong(file, `can't be read: ${message}`),
      )
      const info = yield* Effect.mapError(fs.stat(real), ({ message }) => wrong(file, `can't be read: ${message}`))
      if (info.type !== "File") return yield* wrong(file, "is no file; name a file, a wheel say")
      return real
    })
    const readText = Effect.fnUntraced(function* (
      file: string,
    ): Effect.fn.Return<RequirementFile & { text: string }, PythonRequirementsError> {
      const real = yield* inBundle(file)
      const bytes = yield* Effect.mapError(
        Stream.mkUint8Array(fs.stream(real, { bytesToRead: FILE_LIMIT + 1 })),
        ({ message }) => wrong(file, `can't be read: ${message}`),
      )
      if (bytes.length > FILE_LIMIT) return yield* wrong(file, `has more than ${FILE_LIMIT} bytes`)
      return textFile(file, new TextDecoder().decode(bytes))
    })
    const binary = Effect.fnUntraced(function* (
      file: string,
    ): Effect.fn.Return<RequirementFile, PythonRequirementsError> {
      const source = yield* inBundle(file)
      const hash = yield* Effect.mapError(sha256(fs, source), () => wrong(file, "can't be read"))
      return { path: file, sha256: hash, content: { source } }
    })

    /** A file of requirements, with all that it includes and the files in the bundle that it installs. */
    const withReferences = Effect.fnUntraced(function* (first: RequirementFile & { readonly text: string }) {
      const files = new Map<string, RequirementFile>([[first.path, first]])
      const open = [first]
      for (let file = open.pop(); file !== undefined; file = open.pop()) {
        for (const line of linesOf(file.text)) {
          if (/^(?:-e|--editable)\b/.test(line)) {
            return yield* wrong(
              file.path,
              `has ${line}, and an editable install would write into the bundle; build a wheel of it for the folder ${WHEELS}`,
            )
          }
          const reference = referenceOf(line)
          if (reference === undefined) continue
          // pip and uv look for included files beside the file, for what is installed in the folder they run in.
          const target =
            "include" in reference ? path.join(path.dirname(file.path), reference.include) : reference.local
          const name = path.normalize(target).replaceAll("\\", "/")
          if (files.has(name)) continue
          if (files.size >= COUNT_LIMIT) return yield* wrong(file.path, `refers to more than ${COUNT_LIMIT} files`)
          if ("include" in reference) {
            const included = yield* readText(name)
            files.set(name, included)
            open.push(included)
          } else files.set(name, yield* binary(name))
        }
      }
      return [...files.values()]
    })

    /** The dependencies of a project, as a file of requirements; nothing for a file that is only tools' settings. */
    const ofProject = Effect.fnUntraced(function* (file: RequirementFile & { readonly text: string }) {
      const parsed = Toml.parse(file.text)
      if (Result.isFailure(parsed)) return yield* wrong(file.path, `can't be read: ${parsed.failure.message}`)
      const project = (parsed.success as { readonly project?: unknown }).project
      if (typeof project !== "object" || project === null) return undefined
      const { dependencies = [], dynamic = [] } = project as {
        readonly dependencies?: unknown
        readonly dynamic?: unknown
      }
      if (Array.isArray(dynamic) && dynamic.includes("dependencies")) {
        return yield* wrong(
          file.path,
          "leaves its dependencies to a build (dynamic); write them there, or into a requirements.txt",
        )
      }
      if (
        !Array.isArray(dependencies) ||
        !dependencies.every((one) => typeof one === "string" && !/[\r\n]/.test(one))
      ) {
        return yield* wrong(file.path, "has project.dependencies that are no list of requirements")
      }
      return textFile("requirements.txt", `${dependencies.join("\n")}\n`)
    })

    const wheelFiles = Effect.gen(function* () {
      if (!(yield* isThere(WHEELS))) return []
      const names = yield* Effect.mapError(fs.readDirectory(path.join(directory, WHEELS)), ({ message }) =>
        wrong(WHEELS, `can't be read: ${message}`),
      )
      const found = names.filter((name) => name.endsWith(".whl")).sort()
      if (found.length > COUNT_LIMIT) return yield* wrong(WHEELS, `has more than ${COUNT_LIMIT} wheels`)
      return yield* Effect.forEach(found, (name) => binary(`${WHEELS}/${name}`))
    })

    const vendored = yield* wheelFiles
    const wheels = new Map<string, Set<string>>()
    for (const { path } of vendored) {
      const [name = "", version = ""] = path.slice(WHEELS.length + 1).split("-")
      wheels.set(name, (wheels.get(name) ?? new Set()).add(version))
    }
    const result = (
      kind: Requirements["kind"],
      files: ReadonlyArray<RequirementFile>,
      isLocked: boolean,
    ): Requirements => ({
      kind,
      files: [...new Map([...files, ...vendored].map((file) => [file.path, file])).values()],
      wheels,
      isLocked,
    })

    const hasRequirements = yield* isThere("requirements.txt")
    for (const lock of ["uv.lock", "pylock.toml"] as const) {
      if (!(yield* isThere(lock))) continue
      if (!hasUv && hasRequirements) continue
      if (!hasUv) {
        return yield* wrong(
          lock,
          "is read by uv alone, which is not on the host's PATH; install it there, or put a requirements.txt beside it (uv export)",
        )
      }
      const file = yield* readText(lock)
      return result(lock, lock === "uv.lock" ? [file, yield* readText("pyproject.toml")] : [file], true)
    }
    if (hasRequirements) {
      const files = yield* withReferences(yield* readText("requirements.txt"))
      const isHashed = files.some(({ content }) => "text" in content && /\s--hash[\s=]/.test(content.text))
      return result("requirements.txt", files, isHashed)
    }
    if (yield* isThere("pyproject.toml")) {
      const requirements = yield* ofProject(yield* readText("pyproject.toml"))
      if (requirements !== undefined) {
        const files = yield* Effect.mapError(withReferences(requirements), ({ reason }) =>
          wrong("pyproject.toml", reason),
        )
        return result("pyproject.toml", files, false)
      }
    }
    return result(wheels.size > 0 ? "wheels" : "none", [], false)
  })
})

const textFile = (path: string, text: string): RequirementFile & { readonly text: string } => ({
  path,
  text,
  sha256: createHash("sha256").update(text).digest("hex"),
  content: { text },
})
