import { homedir } from "node:os"
import { join, resolve } from "node:path"
import { Config, type FileSystem, type Layer, Option, type Path, type Redacted } from "effect"
import { Flag } from "effect/cli"
import type { PythonEnvironment, PythonEnvironmentFolderError } from "../command/PythonEnvironment.ts"
import { VARIABLES } from "../command/Variables.ts"
import * as PythonEnvironments from "../python/PythonEnvironments.ts"

/** Where environments are that no data folder of a supervisor has: those of `check`, `call` and `dev`, from one time to the next. */
export const userEnvironments = (): string =>
  join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "plugin-supervisor", "environments")

/** The flags for where Python plugins get their packages from. */
export const pythonFlags = {
  pythonTool: Flag.Literals("python-tool", ["uv", "pip"]).pipe(
    Flag.withDescription("What makes the environments of Python plugins. Default: uv if it is on the PATH, else pip"),
    Flag.optional,
  ),
  pythonIndex: Flag.Redacted("python-index").pipe(
    Flag.withDescription(
      `Index of Python packages, in place of PyPI; with a password in ${VARIABLES.pythonIndex}. Default ${VARIABLES.pythonIndex}`,
    ),
    Flag.withFallbackConfig(Config.Redacted(VARIABLES.pythonIndex)),
    Flag.optional,
  ),
  pythonLinks: Flag.String("python-find-links").pipe(
    Flag.withDescription("Folder of wheels, or page with links to some; may be repeated"),
    Flag.atLeast(0),
  ),
  pythonOffline: Flag.Boolean("python-offline").pipe(
    Flag.withDescription("Fetch no Python packages: they come from bundles, --python-find-links and uv's cache"),
    Flag.withDefault(false),
  ),
  pythonSdk: Flag.String("python-sdk").pipe(
    Flag.withDescription(
      "What is installed as the SDK of Python plugins: a requirement, a wheel or a folder. Default effect-plugin-supervisor-sdk",
    ),
    Flag.optional,
  ),
}

/** What these flags say. */
export interface PythonFlags {
  readonly pythonTool: Option.Option<"uv" | "pip">
  readonly pythonIndex: Option.Option<Redacted.Redacted>
  readonly pythonLinks: ReadonlyArray<string>
  readonly pythonOffline: boolean
  readonly pythonSdk: Option.Option<string>
}

/** A path that may be relative, or what is none: a URL, a requirement. */
const located = (given: string): string => (/^\.{0,2}\//.test(given) ? resolve(given) : given)

/** Gives Python plugins what they ask for, in environments of this folder. */
export const pythonLayer = (
  flags: PythonFlags,
  directory: string,
): Layer.Layer<PythonEnvironment, PythonEnvironmentFolderError, FileSystem.FileSystem | Path.Path> =>
  PythonEnvironments.layer({
    directory: resolve(directory),
    tool: Option.getOrUndefined(flags.pythonTool),
    indexUrl: Option.getOrUndefined(flags.pythonIndex),
    findLinks: flags.pythonLinks.map((given) => (/^\w+:\/\//.test(given) ? given : resolve(given))),
    offline: flags.pythonOffline,
    sdk: Option.match(flags.pythonSdk, {
      onNone: () => undefined,
      onSome: (given) => ({ requirement: located(given) }),
    }),
  })
