/** The host: starts a plugin, calls it, and stops it. What the plugin is written in makes no difference here. */
import { join } from "node:path"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { GoPluginClient, PluginProcess } from "effect-plugin-supervisor/goplugin"
import { Calculator } from "./generated/calculator/calculator_pb.js"
import { streams } from "./streams.ts"

const program = Effect.gen(function* () {
  const goPlugins = yield* GoPluginClient
  const plugin = yield* goPlugins.start({
    process: {
      pluginId: "calculator",
      executable: join(import.meta.dirname, ".venv/bin/python"),
      args: ["plugin.py"],
      cwd: import.meta.dirname,
      // All that the plugin gets to see, beside the protocol's own variables.
      env: { PATH: process.env["PATH"] },
    },
    handshake: {
      magicCookieKey: "CALCULATOR_PLUGIN",
      magicCookieValue: "adds up",
      protocolVersions: [1],
    },
    // Calls cost less than over gRPC, where the plugin takes the offer.
    ttrpc: {},
  })
  yield* Effect.log(`it speaks ${plugin.reattachConfig.Protocol}`)
  const { sum } = yield* plugin.client.unary(Calculator.method.add, { a: 1, b: 2 })
  yield* Effect.log(`1 + 2 = ${sum}`)
  yield* streams(plugin.client)
})

const live = GoPluginClient.layer.pipe(Layer.provide(PluginProcess.layer), Layer.provide(NodeServices.layer))

// The plugin ends with the scope.
NodeRuntime.runMain(Effect.scoped(program).pipe(Effect.provide(live)))
