import { Effect, Layer, Option } from "effect"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import type { AnyContract } from "../contract/Contract.ts"
import { environmentOf } from "../environment/ManagedPlugins.ts"
import type { HostClass } from "../environment/PluginHost.ts"
import { AccessToken } from "../http/AccessToken.ts"
import { authenticator } from "../http/HttpAuthorization.ts"
import { WorkspaceRoutes } from "../http/WorkspaceRoutes.ts"
import { MattermostPlugins } from "../mattermost/MattermostPlugins.ts"
import { type Loaded, OPERATOR, type ServedBackend } from "./ContractBackend.ts"
import { daemonLayer, type DaemonOptions, pluginDefaults } from "./DaemonLayer.ts"
import { backendSupervisor, mattermostSupervisor } from "./LocalHost.ts"

/** One plugin as all there are. Nothing is started yet. */
const onlyPlugin = <Self, C extends AnyContract>(
  host: HostClass<Self, string, C>,
  bundle: PluginBundle,
  options: DaemonOptions,
) =>
  Layer.effect(
    host.Environment,
    Effect.gen(function* () {
      const { supervise } = yield* host.Supervisor
      return environmentOf([yield* supervise(bundle, { ...pluginDefaults(options), restart: true })])
    }),
  )

/** A daemon with one plugin, for Mattermost's contract. */
export const mattermostDev = (bundle: PluginBundle, options: DaemonOptions) =>
  daemonLayer(options, {
    host: MattermostPlugins,
    authenticate: authenticator,
    routes: WorkspaceRoutes,
    environment: (siteUrl) =>
      onlyPlugin(MattermostPlugins, bundle, options).pipe(
        Layer.provideMerge(mattermostSupervisor(options.data, siteUrl)),
      ),
  })

/** A daemon with one plugin, for a backend's own contract. */
export const backendDev = (backend: ServedBackend<Loaded, AnyContract>, bundle: PluginBundle, options: DaemonOptions) =>
  daemonLayer(options, {
    host: backend.host,
    pythonPackages: backend.pythonPackages,
    authenticate: Effect.map(
      AccessToken,
      (accessToken) => (token: string) =>
        Effect.succeed(accessToken.matches(token) ? Option.some(OPERATOR) : Option.none()),
    ),
    routes: Layer.empty,
    environment: () =>
      onlyPlugin(backend.host, bundle, options).pipe(Layer.provideMerge(backendSupervisor(backend, options.data))),
  })
