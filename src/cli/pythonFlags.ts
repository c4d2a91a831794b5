import { Config, type Option, type Redacted } from "effect"
import { Flag } from "effect/cli"
import { VARIABLES } from "../command/Variables.ts"

/** The flags for where Python plugins get their packages from. */
export const pythonFlags = {
  environments: Flag.String("environments").pipe(
    Flag.withDescription(
      "Folder of Python environments, made of what plugins ask for (requirements.txt, say). Default: environments, in the data folder",
    ),
    Flag.optional,
  ),
  provision: Flag.Boolean("provision").pipe(
    Flag.withDescription(
      "Make Python environments; --no-provision runs Python plugins by what is in their bundle, or by the Python on the PATH. Default true",
    ),
    Flag.withDefault(true),
  ),
  pythonTool: Flag.Literals("python-tool", ["uv", "pip"]).pipe(
    Flag.withDescription("What makes those environments. Default: uv if it is on the PATH, else pip"),
    Flag.optional,
  ),
  pythonSdk: Flag.String("python-sdk").pipe(
    Flag.withDescription(
      "The SDK in those environments: a requirement, or the path of a wheel or of the SDK's folder. Default: the one that came with this program",
    ),
    Flag.optional,
  ),
  pythonIndex: Flag.Redacted("python-index").pipe(
    Flag.withDescription(
      `Package index of those environments; with a password better in ${VARIABLES.pythonIndex}. Default PyPI`,
    ),
    Flag.withFallbackConfig(Config.Redacted(VARIABLES.pythonIndex)),
    Flag.optional,
  ),
  findLinks: Flag.String("find-links").pipe(
    Flag.withDescription("Folder of wheels for those environments; may be repeated"),
    Flag.atLeast(0),
  ),
  offline: Flag.Boolean("offline").pipe(
    Flag.withDescription("Fetch nothing for those environments: packages come from bundles and --find-links"),
    Flag.withDefault(false),
  ),
}

/** What these flags say. */
export interface PythonOptions {
  /** Folder of the Python environments; none for the default. */
  readonly environments: Option.Option<string>
  /** Whether environments are made. */
  readonly provision: boolean
  /** What makes them; none for the one there is. */
  readonly pythonTool: Option.Option<"uv" | "pip">
  /** The SDK that they have. */
  readonly pythonSdk: Option.Option<string>
  readonly pythonIndex: Option.Option<Redacted.Redacted>
  /** Folders of wheels. */
  readonly findLinks: ReadonlyArray<string>
  readonly offline: boolean
}
