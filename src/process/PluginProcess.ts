import { Context, type Effect, Layer, type Scope } from "effect"
import { makeSpawn } from "./NodeProcess.ts"
import type { PluginSpawnError, ProcessOutput, ProcessSpec, RunningProcess } from "./ProcessSpec.ts"

/**
 * Runs plugin processes. `spawn` starts one in its own process group, and when the Scope closes, for whatever reason,
 * the whole group and every descendant that left it is gone, within the wait delay and about two seconds more.
 */
export class PluginProcess extends Context.Service<
  PluginProcess,
  {
    readonly spawn: (
      spec: ProcessSpec,
      output: ProcessOutput,
    ) => Effect.Effect<RunningProcess, PluginSpawnError, Scope.Scope>
  }
>()("effect-plugin-supervisor/process/PluginProcess") {
  static readonly layer: Layer.Layer<PluginProcess> = Layer.effect(PluginProcess, makeSpawn)

  /** For tests: `spawn` answers from `run` and starts nothing. */
  static readonly layerTest = (
    spawn: (spec: ProcessSpec, output: ProcessOutput) => Effect.Effect<RunningProcess, PluginSpawnError, Scope.Scope>,
  ): Layer.Layer<PluginProcess> => Layer.succeed(PluginProcess, { spawn })
}
