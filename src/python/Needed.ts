import { createHash } from "node:crypto"
import { Effect, FileSystem, Option, Path } from "effect"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import { HostEnvironment } from "../command/HostEnvironment.ts"
import { type PythonRequirementsError, PythonToolError } from "../command/PythonEnvironment.ts"
import type { BaseInterpreter } from "./BaseInterpreter.ts"
import type { EnvironmentSettings } from "./EnvironmentSettings.ts"
import type { Tool } from "./Installer.ts"
import { makeReader, type Requirements } from "./Requirements.ts"
import { makeSdkReader } from "./SdkContent.ts"

/** Changes with what is made, and how: environments of another number are made anew. */
const FORMAT = 1

/** An environment that a plugin needs. */
export interface Needed {
  readonly key: string
  readonly base: BaseInterpreter
  readonly tool: Tool
  readonly requirements: Requirements
  /** What to install for the SDK. */
  readonly sdkRequirement: string | undefined
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
  const readSdk = yield* makeSdkReader
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

  /** What a plugin needs; nothing where the host's Python has it all. */
  return Effect.fnUntraced(function* (
    bundle: PluginBundle,
    host: string,
  ): Effect.fn.Return<Needed | undefined, PythonToolError | PythonRequirementsError> {
    const pluginId = bundle.manifest.id
    const base = yield* ask(pluginId, host)
    const uv = yield* findUv
    const requirements = yield* readRequirements(bundle, uv !== undefined)
    if (requirements.kind === "none" && (settings.sdk === undefined || base.hasSdk)) return undefined
    const tool = yield* findTool(pluginId, base, uv)
    const sdk =
      settings.sdk === undefined
        ? undefined
        : yield* Effect.mapError(readSdk(settings.sdk.requirement), (error) => {
            const reason = `the SDK ${settings.sdk?.requirement} can't be read (${String(error)})`
            return new PythonToolError({ pluginId, reason })
          })
    const { kind, files } = requirements
    const { executable, version, base: folder, platform: system } = base
    const content = [
      [FORMAT, kind, tool.name, executable, version, folder, system],
      [sdk?.requirement, sdk?.content, settings.sdk?.module],
      files.map(({ path, sha256 }) => [path, sha256]),
    ]
    const key = createHash("sha256").update(JSON.stringify(content)).digest("hex").slice(0, 32)
    return { key, base, tool, requirements, sdkRequirement: sdk?.requirement } satisfies Needed
  })
})
