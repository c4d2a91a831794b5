import { Config, type Option, type Redacted } from "effect"
import { Flag } from "effect/cli"
import { VARIABLES } from "../command/Variables.ts"

/** The flags for where Python plugins get their packages from. */
export const pythonFlags = {
  environments: Flag.String("environments").pipe(
    Flag.withDescription(
      "Folder of Python environments, made of what plugins ask for (requirements.txt, say); made when it is missing. Default: none are made",
    ),
    Flag.optional,
  ),
  pythonTool: Flag.Literals("python-tool", ["uv", "pip"]).pipe(
    Flag.withDescription("What makes those environments. Default: uv if it is on the PATH, else pip"),
    Flag.optional,
  ),
  pythonSdk: Flag.String("python-sdk").pipe(
    Flag.withDescription(
      "The SDK in those environments: a requirement, or the path of a wheel or of the SDK's folder. Default effect-plugin-supervisor-sdk",
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
  /** Folder of the Python environments; none where none are to be made. */
  readonly environments: Option.Option<string>
  /** What makes them; none for the one there is. */
  readonly pythonTool: Option.Option<"uv" | "pip">
  /** The SDK that they have. */
  readonly pythonSdk: Option.Option<string>
  readonly pythonIndex: Option.Option<Redacted.Redacted>
  /** Folders of wheels. */
  readonly findLinks: ReadonlyArray<string>
  readonly offline: boolean
}
