import { type FileSystem, Layer, type Path } from "effect"
import type { PluginApi } from "../api/PluginApi.ts"
import { PluginApiServer } from "../api/PluginApiServer.ts"
import { PathSanitizer } from "../bundle/PathSanitizer.ts"
import { PluginBundles } from "../bundle/PluginBundle.ts"
import { PluginCommand } from "../command/PluginCommand.ts"
import { PythonInterpreter } from "../command/PythonInterpreter.ts"
import { GoPluginClient } from "../goplugin/GoPluginClient.ts"
import type { ActivePlugins } from "../hooks/ActivePlugins.ts"
import { HookDispatcher } from "../hooks/HookDispatcher.ts"
import { Hooks } from "../hooks/Hooks.ts"
import { PluginProcess } from "../process/PluginProcess.ts"
import { PluginRuns } from "../supervisor/PluginRuns.ts"
import { PluginSupervisor } from "../supervisor/PluginSupervisor.ts"
import { type EnvironmentOptions, PluginEnvironment } from "./PluginEnvironment.ts"

/**
 * The supervisor of single plugins with everything below it. A backend provides its `PluginApi` and the platform
 * (`NodeServices.layer`); `HookDispatcher` comes along, so that the backend can call the hooks of the active plugins.
 */
export const supervisorLayer: Layer.Layer<
  PluginSupervisor | PluginBundles | HookDispatcher | ActivePlugins,
  never,
  PluginApi | FileSystem.FileSystem | Path.Path
> = PluginSupervisor.layer.pipe(
  Layer.provide(PluginRuns.layer),
  Layer.provide([PluginApiServer.layer, PluginCommand.layer, GoPluginClient.layer, Hooks.layer]),
  Layer.provide([PathSanitizer.layer, PythonInterpreter.layer, PluginProcess.layer]),
  Layer.provideMerge([PluginBundles.layer, HookDispatcher.layer]),
)

/** All plugins of a folder, supervised: {@link supervisorLayer} with the {@link PluginEnvironment} on top of it. */
export const layer = (
  options: EnvironmentOptions,
): Layer.Layer<
  PluginEnvironment | PluginSupervisor | PluginBundles | HookDispatcher | ActivePlugins,
  never,
  PluginApi | FileSystem.FileSystem | Path.Path
> => Layer.provideMerge(PluginEnvironment.layer(options), supervisorLayer)
