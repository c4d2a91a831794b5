import { create } from "@bufbuild/protobuf"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer } from "effect"
import { type PluginCaller } from "../../src/api/PluginApi.ts"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { PluginAPI } from "../../src/generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import type { RpcClient } from "../../src/rpc/RpcClient.ts"
import { type HookHandlers, testClient } from "../../src/hooks/Hooks.ts"
import { Workspace } from "../../src/workspace/Workspace.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import type { ApiMethods } from "../../src/api/PluginApi.ts"
import { WorkspacePluginApi } from "../../src/workspace/WorkspacePluginApi.ts"

/** A workspace in memory with its hooks' dispatcher and the host API on it. */
export const workspaceLayer = WorkspacePluginApi.layer.pipe(
  Layer.provide(PluginBundles.layer),
  Layer.provide(NodeServices.layer),
  Layer.provideMerge(Workspace.layerTest),
  Layer.provideMerge(MattermostPlugins.layer),
)

export const caller: PluginCaller = {
  pluginId: "com.example.one",
  bundlePath: "/nowhere",
  manifest: { id: "com.example.one", name: "One" },
}
export const otherCaller: PluginCaller = {
  pluginId: "com.example.two",
  bundlePath: "/nowhere",
  manifest: { id: "com.example.two", name: "Two" },
}

/** Registers a plugin whose hooks are answered in this process. */
export const registerPlugin = (pluginId: string, handlers: HookHandlers<MattermostContract>) =>
  Effect.flatMap(MattermostPlugins, ({ active }) =>
    // Handlers answer in place of the connection, so there is none.
    active.register(testClient(MattermostContract, undefined as unknown as RpcClient, pluginId, handlers)),
  )

/** The calls a plugin makes; `as` another plugin when told so. */
export const pluginApi = Effect.map(MattermostPlugins.Api, (api) => {
  const bound = (as: PluginCaller) =>
    new Proxy(api, {
      get: (target, name) => (request: object) =>
        (target[name as keyof ApiMethods<MattermostContract>] as (request: object, caller: PluginCaller) => unknown)(
          create(PluginAPI.method[name as keyof ApiMethods<MattermostContract>].input, request),
          as,
        ),
    }) as unknown as Calls
  return { one: bound(caller), two: bound(otherCaller) }
})

type Calls = {
  readonly [K in keyof ApiMethods<MattermostContract>]: (
    request: Partial<Omit<Parameters<ApiMethods<MattermostContract>[K]>[0], "$typeName" | "$unknown">>,
  ) => ReturnType<ApiMethods<MattermostContract>[K]>
}
