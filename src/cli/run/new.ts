import { dirname, join, relative, resolve } from "node:path"
import { Effect, FileSystem, Option } from "effect"
import { parseManifest } from "../../bundle/Manifest.ts"
import { CommandError, EXIT, failed, told } from "../CommandError.ts"
import { loadHost } from "../LocalHost.ts"
import * as Output from "../Output.ts"
import { goPackage } from "../scaffold/goPackage.ts"
import { goPlugin } from "../scaffold/goPlugin.ts"
import { goStubs } from "../scaffold/goStubs.ts"
import { backendFlag, contractPython, type Files, mattermostPython, packageOf } from "../scaffold/pythonPlugin.ts"
import { runTool } from "../scaffold/runTool.ts"

const usage = (message: string) => new CommandError({ message, exitCode: EXIT.usage })

/** What it was given. */
interface NewInput {
  readonly backend: Option.Option<string>
  readonly contract: Option.Option<"mattermost">
  readonly go: boolean
  readonly json: boolean
  readonly name: string
  readonly package: Option.Option<string>
}

/** Carries out `plugin-supervisor new`. */
export const run = ({ backend, contract, go, json, name, package: packageName }: NewInput) =>
  Effect.gen(function* () {
    if (Option.isSome(backend) && Option.isSome(contract)) return yield* usage("give --backend or --contract, not both")
    const { id } = yield* parseManifest("the name", JSON.stringify({ id: name, name })).pipe(
      Effect.mapError(({ problems }) => usage(`${name} can't be a plugin's id: ${problems[0]?.message}`)),
    )
    const { host } = yield* loadHost(backend)
    const folder = resolve(id)
    // As the commands of its README name it, which are run in the folder.
    const module = Option.getOrUndefined(
      Option.map(backend, (file) => relative(folder, resolve(file)).replaceAll("\\", "/")),
    )
    const files: Files = go
      ? goPlugin(id, host.contract, module)
      : module === undefined
        ? mattermostPython(id)
        : contractPython(
            id,
            host.contract,
            Option.getOrElse(packageName, () => packageOf(host.contract)),
            module,
          )
    yield* makeFolder(folder)
    const fileSystem = yield* FileSystem.FileSystem
    yield* Effect.onError(
      Effect.gen(function* () {
        yield* write(folder, files)
        if (!go) return
        yield* write(folder, yield* goPackage)
        const what = "make the stubs of the contract (the first time Go builds what makes them, which takes minutes)"
        yield* write(folder, yield* Output.atLength(what, goStubs(host.contract, id, folder)))
        yield* Output.atLength("get the packages that it needs", runTool("go", ["mod", "tidy"], folder))
        // What is in line depends on the contract's names.
        yield* runTool("go", ["fmt"], folder)
        yield* Output.atLength("build it", runTool("go", ["build", "-o", "plugin", "."], folder))
      }),
      // Half of a plugin would be in the way of the next try.
      () => Effect.ignore(fileSystem.remove(folder, { recursive: true })),
    )
    if (json) return yield* Output.printJson({ id, folder, files: Object.keys(files) })
    const more = backendFlag(Option.getOrUndefined(backend))
    yield* Output.printLine(id, { text: "is made;", paint: "green" }, `try it:`)
    yield* Output.printLine(`  plugin-supervisor check ${id}${more}`)
    yield* Output.printLine(`  plugin-supervisor dev ${id}${more}${go ? ' --build "go build -o plugin ."' : ""}`)
  })

/** Makes a folder that is not there yet. */
const makeFolder = Effect.fnUntraced(function* (folder: string) {
  const fileSystem = yield* FileSystem.FileSystem
  yield* Effect.mapError(fileSystem.makeDirectory(folder), (error) =>
    error.reason._tag === "AlreadyExists"
      ? failed(`${folder} is there already; choose another name, or remove it`)
      : told(error),
  )
})

const write = Effect.fnUntraced(function* (folder: string, files: Files) {
  const fileSystem = yield* FileSystem.FileSystem
  for (const [path, text] of Object.entries(files)) {
    const file = join(folder, path)
    yield* fileSystem.makeDirectory(dirname(file), { recursive: true })
    yield* fileSystem.writeFileString(file, text)
  }
}, Effect.mapError(told))
