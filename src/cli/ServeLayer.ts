import { Layer, Record } from "effect"
import { ServerVersion } from "../command/ServerVersion.ts"
import type { HooksOptions } from "../hooks/HookPolicy.ts"
import { authenticator } from "../http/HttpAuthorization.ts"
import { WorkspaceRoutes } from "../http/WorkspaceRoutes.ts"
import type { MattermostContract } from "../mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../mattermost/MattermostPlugins.ts"
import { PluginStates } from "../storage/PluginStates.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { WorkspaceDatabase } from "../workspace/WorkspaceDatabase.ts"
import { WorkspaceLimits } from "../workspace/WorkspaceLimits.ts"
import { WorkspacePluginApi } from "../workspace/WorkspacePluginApi.ts"
import { workspacePluginSettings } from "../workspace/WorkspacePluginSettings.ts"
import { SERVER_VERSION, WorkspaceSettings } from "../workspace/WorkspaceSettings.ts"
import { bundleStore, daemonLayer, type DaemonOptions, pluginDefaults } from "./DaemonLayer.ts"

/** What an operator sets for a daemon with Mattermost's plugins. */
export interface ServeOptions extends DaemonOptions {
  /** What is set for the hooks of single plugins, by id. */
  readonly hookPolicies: { readonly [pluginId: string]: HooksOptions<MattermostContract> }
}

/** The supervisor by itself: the plugins of a folder on an embedded workspace, behind HTTP. */
export const serveLayer = (options: ServeOptions) => {
  const { data, hookPolicies, limits, plugins } = options
  const workspace = Layer.mergeAll(
    Workspace.layer.pipe(Layer.provide(MattermostPlugins.layer)),
    Layer.effect(PluginStates, PluginStates.make),
  ).pipe(Layer.provide(WorkspaceDatabase.layer(data)))
  return daemonLayer(options, {
    host: MattermostPlugins,
    authenticate: authenticator,
    routes: WorkspaceRoutes,
    environment: (siteUrl) =>
      MattermostPlugins.layerFolder({
        directory: plugins,
        defaults: pluginDefaults(options),
        plugins: Record.map(hookPolicies, (hooks) => ({ hooks })),
      }).pipe(
        Layer.provide(Layer.provide(WorkspacePluginApi.layer, MattermostPlugins.layer)),
        Layer.provide([workspacePluginSettings, bundleStore(options)]),
        Layer.provideMerge(workspace),
        Layer.provide(Layer.succeed(ServerVersion, SERVER_VERSION)),
        Layer.provide(Layer.succeed(WorkspaceSettings, { siteUrl, serverVersion: SERVER_VERSION })),
        Layer.provide(Layer.succeed(WorkspaceLimits, limits.workspace)),
      ),
  })
}
