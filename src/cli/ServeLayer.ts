import { resolve } from "node:path"
import { Deferred, Duration, Effect, Layer, Option, Record, Redacted } from "effect"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { HttpRouter } from "effect/http"
import { PluginBundles } from "../bundle/PluginBundle.ts"
import { ServerVersion } from "../command/ServerVersion.ts"
import { PluginLogRate } from "../goplugin/LogBudget.ts"
import { RuntimeDirectory } from "../goplugin/SocketDirectory.ts"
import type { HooksOptions } from "../hooks/HookPolicy.ts"
import { NotificationLimits } from "../hooks/NotificationQueue.ts"
import { AccessToken } from "../http/AccessToken.ts"
import * as HostCheck from "../http/HostCheck.ts"
import { isExactly } from "../http/HostTokens.ts"
import { authenticator } from "../http/HttpAuthorization.ts"
import { HttpFailures } from "../http/HttpFailures.ts"
import { MetricsRoutes } from "../http/MetricsRoutes.ts"
import { createServer } from "../http/NodeServer.ts"
import * as PluginRoutes from "../http/PluginRoutes.ts"
import * as PluginStatusRoutes from "../http/PluginStatusRoutes.ts"
import { WorkspaceRoutes } from "../http/WorkspaceRoutes.ts"
import type { MattermostContract } from "../mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../mattermost/MattermostPlugins.ts"
import * as PythonEnvironments from "../python/PythonEnvironments.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { WorkspaceLimits } from "../workspace/WorkspaceLimits.ts"
import { WorkspacePluginApi } from "../workspace/WorkspacePluginApi.ts"
import { SERVER_VERSION, WorkspaceSettings } from "../workspace/WorkspaceSettings.ts"
import { baseUrl, isAnyAddress } from "./BaseUrl.ts"
import type { Limits } from "./Limits.ts"

/** How long requests in flight may go on when the supervisor stops; what streams for ever is cut then. */
const HTTP_STOP_LIMIT = Duration.seconds(2)

/** What an operator sets for the supervisor by itself. */
export interface ServeOptions {
  /** Folder of the plugins' bundles. */
  readonly plugins: string
  /** Folder of the workspace's data. */
  readonly data: string
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  /** Where people reach the host; none for the address that it listens on. */
  readonly siteUrl: Option.Option<string>
  /** The file with the access token; none for the environment's. */
  readonly tokenFile: Option.Option<string>
  /** Variables of the host that plugins may see: `NAME` or `PREFIX_*`. */
  readonly allowEnv: ReadonlyArray<string>
  /** Names by which clients may ask for the host; empty for the default of `HostCheckOptions`. */
  readonly allowHost: ReadonlyArray<string>
  /** Proxies that are believed whom they ask for: addresses, and ranges of them. */
  readonly trustedProxies: ReadonlyArray<string>
  readonly pluginLogLevel: "DEBUG" | "INFO" | "WARNING" | "ERROR"
  /** Folder of the plugins' sockets. */
  readonly runtimeDirectory: Option.Option<string>
  /** Bounds that are not the defaults. */
  readonly limits: Limits
  /** Folder of the Python environments; none where none are to be made. */
  readonly environments: Option.Option<string>
  /** The SDK that they have. */
  readonly pythonSdk: Option.Option<string>
  readonly pythonIndex: Option.Option<Redacted.Redacted>
  /** Folders of wheels. */
  readonly findLinks: ReadonlyArray<string>
  readonly offline: boolean
  /** What is set for the hooks of single plugins, by id. */
  readonly hookPolicies: { readonly [pluginId: string]: HooksOptions<MattermostContract> }
}

/** The supervisor by itself: the plugins of a folder on an embedded workspace, behind HTTP. */
export const serveLayer = (options: ServeOptions) => {
  const { allowEnv, data, hookPolicies, host, limits, pluginLogLevel, plugins, port } = options
  // Which port it is, is known when it listens; whoever asks before that waits.
  const siteUrl = Deferred.makeUnsafe<string>()
  const allowedHosts = options.allowHost.length === 0 ? undefined : options.allowHost
  const settings = Layer.mergeAll(
    Layer.succeed(PluginLogRate, limits.logLines),
    Layer.succeed(NotificationLimits, { count: limits.notifications, bytes: limits.notificationBytes }),
    Layer.succeed(WorkspaceLimits, limits.workspace),
    Layer.succeed(RuntimeDirectory, Option.getOrUndefined(options.runtimeDirectory)),
  )
  const workspace = Workspace.layerIn(data).pipe(Layer.provide(MattermostPlugins.layer))
  const pythonEnvironments = Option.match(options.environments, {
    onNone: () => Layer.empty,
    onSome: (directory) =>
      PythonEnvironments.layer({
        directory,
        sdk: { requirement: Option.getOrUndefined(options.pythonSdk) },
        indexUrl: Option.getOrUndefined(options.pythonIndex),
        findLinks: options.findLinks.map((folder) => (URL.canParse(folder) ? folder : resolve(folder))),
        offline: options.offline,
      }),
  })
  const environment = MattermostPlugins.layerFolder({
    directory: plugins,
    defaults: { allowVariables: allowEnv, logLevel: pluginLogLevel, maxMessageSize: limits.message },
    plugins: Record.map(hookPolicies, (hooks) => ({ hooks })),
  }).pipe(
    Layer.provide(Layer.provide(WorkspacePluginApi.layer, MattermostPlugins.layer)),
    Layer.provide(PluginBundles.layer),
    Layer.provide(pythonEnvironments),
    Layer.provideMerge(workspace),
    Layer.provide(Layer.succeed(ServerVersion, SERVER_VERSION)),
    Layer.provide(
      Layer.succeed(WorkspaceSettings, { siteUrl: Deferred.await(siteUrl), serverVersion: SERVER_VERSION }),
    ),
    Layer.provide(settings),
  )
  const httpServer = createServer()
  const routes = Layer.mergeAll(
    WorkspaceRoutes,
    PluginStatusRoutes.layer(MattermostPlugins),
    MetricsRoutes,
    HostCheck.layer({ allowedHosts }),
    Layer.unwrap(
      Effect.gen(function* () {
        const { value } = yield* AccessToken
        return PluginRoutes.layer(MattermostPlugins, yield* authenticator, {
          allowedHosts,
          isToken: isExactly(Redacted.value(value)),
          maxRequestsInFlight: limits.requests,
          server: httpServer,
          trustedProxies: options.trustedProxies,
        })
      }),
    ),
    // First, so that it is around all others.
  ).pipe(Layer.provide(HttpFailures))
  const listening = Layer.effectDiscard(
    Effect.gen(function* () {
      const base = yield* baseUrl(host)
      yield* Deferred.succeed(
        siteUrl,
        Option.getOrElse(options.siteUrl, () => base),
      )
      if (Option.isNone(options.siteUrl) && isAnyAddress(host)) {
        yield* Effect.logWarning(
          `plugins are told that people reach the host at ${base}; say where they do with --site-url`,
        )
      }
    }),
  )
  const server = Layer.provideMerge(
    listening,
    NodeHttpServer.layer(() => httpServer, { host, port, gracefulShutdownTimeout: HTTP_STOP_LIMIT }),
  )
  return HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provideMerge(server),
    Layer.provideMerge(environment),
    Layer.provideMerge(AccessToken.layerFrom(options.tokenFile)),
  )
}
