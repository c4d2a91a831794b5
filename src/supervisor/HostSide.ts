import type { Effect, Scope } from "effect"
import type { HostApi } from "../api/PluginApiServer.ts"
import type { ActivePlugins } from "../hooks/ActivePlugins.ts"
import type { AnyHooksOptions } from "../hooks/HookPolicy.ts"

/** What runs of plugins need of the host that they belong to. */
export interface HostSide {
  /** The contract, and what the host offers to plugins. */
  readonly api: HostApi
  /** Where they are reached. */
  readonly active: ActivePlugins
  /** `HookDispatcher.require`. */
  readonly require: (pluginId: string, options: AnyHooksOptions) => Effect.Effect<void, never, Scope.Scope>
}
