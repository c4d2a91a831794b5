import { VARIABLES } from "../command/Variables.ts"

/** What a plugin may know of itself and its host, by variables of its environment. */
export interface PluginFacts {
  readonly pluginId: string
  /** Absolute path of the plugin's bundle. */
  readonly bundlePath: string
  /** Where the host API is, as gRPC writes addresses: `unix:/run/x/api.sock`. */
  readonly apiTarget: string
  readonly logLevel: "DEBUG" | "INFO" | "WARNING" | "ERROR"
  /** How long a hook may take unless a call says otherwise. */
  readonly hookTimeoutSeconds: number
}

/** The variables of plugins whose contract names none of its own. */
export const standardVariables = (facts: PluginFacts): { readonly [name: string]: string } => ({
  [VARIABLES.pluginId]: facts.pluginId,
  [VARIABLES.pluginPath]: facts.bundlePath,
  [VARIABLES.apiTarget]: facts.apiTarget,
  [VARIABLES.logLevel]: facts.logLevel,
  [VARIABLES.hookTimeout]: String(facts.hookTimeoutSeconds),
})
