import { createHash } from "node:crypto"
import { Effect, FileSystem, Option, Path } from "effect"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import { HostEnvironment } from "../command/HostEnvironment.ts"
import { type PythonRequirementsError, PythonToolError } from "../command/PythonEnvironment.ts"
import type { BaseInterpreter } from "./BaseInterpreter.ts"
import type { EnvironmentSettings } from "./EnvironmentSettings.ts"
import type { Tool } from "./Installer.ts"
import { type HostRequirement, makeContentReader } from "./RequirementContent.ts"
import { makeReader, type Requirements } from "./Requirements.ts"

/** Changes with what is made, and how: environments of another number are made anew. */
const FORMAT = 1

/** An environment that a plugin needs. */
export interface Needed {
  readonly key: string
  readonly base: BaseInterpreter
  readonly tool: Tool
  readonly requirements: Requirements
  /** What the host adds: the SDK, and the packages that all plugins have. */
  readonly sdk: HostRequirement | undefined
  readonly packages: ReadonlyArray<HostRequirement>
}

/** Finds out what environments plugins need; `ask` asks an interpreter what it is. */
export const makeNeeds = Effect.fnUntraced(function* (
  settings: EnvironmentSettings,
  ask: (pluginId: string, executable: string) => Effect.Effect<BaseInterpreter, PythonToolError>,
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { platform, variables } = yield* HostEnvironment
  const readRequirements = yield* makeReader
  const readContent = yield* makeContentReader
  const isWindows = platform.platform === "win32"

  const searchPath = variables["PATH"] ?? (isWindows ? variables["Path"] : undefined) ?? ""
  const uvPath = searchPath
    .split(isWindows ? ";" : ":")
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, isWindows ? "uv.exe" : "uv"))

  /** The first uv on the PATH that can be executed; none where pip was chosen. */
  const findUv = Effect.gen(function* () {
    if (settings.tool === "pip") return undefined
    for (const file of uvPath) {
      const info = yield* Effect.option(fs.stat(file))
      if (Option.exists(info, ({ mode, type }) => type === "File" && (isWindows || (mode & 0o111) !== 0))) return file
    }
    return undefined
  })

  /** The tool that there is. */
  const findTool = Effect.fnUntraced(function* (
    pluginId: string,
    python: BaseInterpreter,
    uv: string | undefined,
  ): Effect.fn.Return<Tool, PythonToolError> {
    if (uv !== undefined) return { name: "uv", executable: uv } satisfies Tool
    if (settings.tool === "uv") {
      const reason = "there is no uv on the host's PATH; install it (pip install uv), or choose pip"
      return yield* new PythonToolError({ pluginId, reason })
    }
    if (python.missing.length === 0) return { name: "pip" } satisfies Tool
    const lacks = `${python.executable} lacks ${python.missing.join(" and ")}`
    return yield* new PythonToolError({
      pluginId,
      reason: `there is no uv on the host's PATH, and ${lacks}; install uv, or what makes environments (Debian's python3-venv)`,
    })
  })

  /** What a requirement of the host's stands for. */
  const readOwn = (pluginId: string, what: string, requirement: string) =>
    Effect.mapError(readContent(requirement), (error) => {
      const reason =
        error !== "not a file" && error._tag === "PlatformError" && error.reason._tag === "NotFound"
          ? `${what} ${path.resolve(requirement)} is not there; build it, or name where it is`
          : `${what} ${requirement} can't be read (${String(error)})`
      return new PythonToolError({ pluginId, reason })
    })

  /** What a plugin needs; nothing where the host's Python has it all. */
  return Effect.fnUntraced(function* (
    bundle: PluginBundle,
    host: string,
  ): Effect.fn.Return<Needed | undefined, PythonToolError | PythonRequirementsError> {
    const pluginId = bundle.manifest.id
    const base = yield* ask(pluginId, host)
    const uv = yield* findUv
    const requirements = yield* readRequirements(bundle, uv !== undefined)
    const asksForNothing = requirements.kind === "none" && settings.packages.length === 0
    if (asksForNothing && (settings.sdk === undefined || base.hasSdk)) return undefined
    const tool = yield* findTool(pluginId, base, uv)
    const sdk = settings.sdk && (yield* readOwn(pluginId, "the SDK", settings.sdk.requirement))
    const packages = yield* Effect.forEach(settings.packages, (one) => readOwn(pluginId, "the package", one))
    const { kind, files } = requirements
    const { executable, version, base: folder, platform: system } = base
    const content = [
      [FORMAT, kind, tool.name, executable, version, folder, system],
      [sdk?.requirement, sdk?.content, settings.sdk?.module],
      files.map(({ path, sha256 }) => [path, sha256]),
      packages.map(({ content, requirement }) => [requirement, content]),
    ]
    const key = createHash("sha256").update(JSON.stringify(content)).digest("hex").slice(0, 32)
    return { key, base, tool, requirements, sdk, packages } satisfies Needed
  })
})
