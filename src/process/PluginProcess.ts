import { Context, Effect, Layer } from "effect"
import { makeSpawn } from "./NodeProcess.ts"
import type { Spawn } from "./ProcessSpec.ts"

/**
 * Runs plugin processes. `spawn` starts one in its own process group, and when the Scope closes, for whatever reason,
 * the whole group and every descendant that left it is gone, within the wait delay and a few seconds more; at once where
 * they obey. A process that has ended by itself leaves its Scope open: whoever closes that then has its descendants ended
 * without the wait delay. Hosts that are killed are survived by a watchdog, which does the same at once; what even that
 * could not end, the next host ends when this layer is built.
 */
export class PluginProcess extends Context.Service<PluginProcess, { readonly spawn: Spawn }>()(
  "effect-plugin-supervisor/process/PluginProcess",
) {
  static readonly layer: Layer.Layer<PluginProcess> = Layer.effect(
    PluginProcess,
    Effect.map(makeSpawn, (spawn) => ({ spawn })),
  )

  /** For tests: `spawn` answers what the given one answers, and starts nothing. */
  static readonly layerTest = (spawn: Spawn): Layer.Layer<PluginProcess> => Layer.succeed(PluginProcess, { spawn })
}
