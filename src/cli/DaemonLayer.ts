import { resolve } from "node:path"
import { Deferred, Duration, Effect, Layer, Option } from "effect"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { HttpRouter } from "effect/http"
import { BundleLimits } from "../bundle/BundleLimits.ts"
import { BundleStore } from "../bundle/BundleStore.ts"
import { PluginBundles } from "../bundle/PluginBundle.ts"
import type { AnyHost, Environment } from "../environment/PluginHost.ts"
import { PluginLogs } from "../environment/PluginLogs.ts"
import { PluginLogRate } from "../goplugin/LogBudget.ts"
import { RuntimeDirectory } from "../goplugin/SocketDirectory.ts"
import { NotificationLimits } from "../hooks/NotificationQueue.ts"
import * as AdminRoutes from "../http/AdminRoutes.ts"
import { AccessToken } from "../http/AccessToken.ts"
import * as HostCheck from "../http/HostCheck.ts"
import { HttpFailures } from "../http/HttpFailures.ts"
import { MetricsRoutes } from "../http/MetricsRoutes.ts"
import { createServer } from "../http/NodeServer.ts"
import * as PluginRoutes from "../http/PluginRoutes.ts"
import { baseUrl, isAnyAddress } from "./BaseUrl.ts"
import type { AnyContract } from "../contract/Contract.ts"
import type { PluginOptions } from "../supervisor/PluginOptions.ts"
import type { PluginLimits } from "../supervisor/SupervisorOptions.ts"
import { makeDataFolder } from "./DataFolder.ts"
import type { Limits } from "./Limits.ts"
import type { PythonOptions } from "./pythonFlags.ts"
import { pythonEnvironments } from "./PythonLayer.ts"

/** How long requests in flight may go on when the supervisor stops; what streams for ever is cut then. */
const HTTP_STOP_LIMIT = Duration.seconds(2)

/** The folder of installed bundles in the data folder. */
const BUNDLES = "bundles"

/** The folder of Python environments there. */
const ENVIRONMENTS = "environments"

/** What an operator sets for the daemon, whatever the contract of its plugins. */
export interface DaemonOptions extends PythonOptions {
  /** Folder of the plugins' bundles. */
  readonly plugins: string
  /** Folder of what is stored. */
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
  /** Whether plugins may be installed over HTTP. */
  readonly install: boolean
  /** Whether they may be downloaded without encryption. */
  readonly insecureDownloads: boolean
  /** What each plugin may take of the machine; none for no limits. */
  readonly pluginLimits?: PluginLimits | undefined
}

/** What the flags say of every plugin. */
export const pluginDefaults = ({ allowEnv, limits, pluginLimits, pluginLogLevel }: DaemonOptions) => ({
  allowVariables: allowEnv,
  logLevel: pluginLogLevel,
  maxMessageSize: limits.message,
  limits: pluginLimits,
})

/** What flags and file say of every plugin, and of single ones; the file counts more. */
export const optionsOfPlugins = <C extends AnyContract>(
  options: DaemonOptions & { readonly pluginOptions: PluginOptions<C> },
): PluginOptions<C> => ({
  defaults: { ...pluginDefaults(options), ...options.pluginOptions.defaults },
  plugins: options.pluginOptions.plugins,
})

/** Where installed bundles are. It is for whoever holds the data folder. */
export const bundleStore = (options: DaemonOptions) =>
  BundleStore.layer(resolve(options.data, BUNDLES)).pipe(Layer.provide([PluginBundles.layer, bundleLimits(options)]))

/** The bounds of what is installed. */
const bundleLimits = ({ limits }: DaemonOptions) =>
  Layer.effect(
    BundleLimits,
    Effect.map(BundleLimits, (given) => ({ ...given, archive: limits.upload })),
  )

/** What a daemon serves. */
export interface Backend<Self, Given, E, R, RoutesError, RoutesNeeds, AuthNeeds> {
  readonly host: AnyHost<Self>
  /** Python packages that its plugins need. */
  readonly pythonPackages?: ReadonlyArray<string> | undefined
  /** The host with its plugins, and what is behind their API; `siteUrl` is known when the daemon listens. */
  readonly environment: (siteUrl: Effect.Effect<string>) => Layer.Layer<Self | Environment<Self> | Given, E, R>
  /** Routes beside those that every daemon has. */
  readonly routes: Layer.Layer<never, RoutesError, RoutesNeeds>
  readonly authenticate: Effect.Effect<PluginRoutes.Authenticate, never, AuthNeeds>
}

/** The supervisor by itself, behind HTTP: a backend's plugins, their states, metrics, and its own routes. */
export const daemonLayer = <Self, Given, E, R, RoutesError, RoutesNeeds, AuthNeeds>(
  options: DaemonOptions,
  backend: Backend<Self, Given, E, R, RoutesError, RoutesNeeds, AuthNeeds>,
) => {
  const { host, limits, port } = options
  // Which port it is, is known when it listens; whoever asks before that waits.
  const siteUrl = Deferred.makeUnsafe<string>()
  const allowedHosts = options.allowHost.length === 0 ? undefined : options.allowHost
  const stopping = Deferred.makeUnsafe<void>()
  const settings = Layer.mergeAll(
    Layer.succeed(PluginLogRate, limits.logLines),
    Layer.succeed(NotificationLimits, {
      count: limits.notifications,
      bytes: limits.notificationBytes,
      inFlight: limits.notificationsInFlight,
    }),
    Layer.succeed(RuntimeDirectory, Option.getOrUndefined(options.runtimeDirectory)),
  )
  const httpServer = createServer()
  const routes = Layer.mergeAll(
    backend.routes,
    AdminRoutes.layer(backend.host, {
      allowInstall: options.install,
      allowHttp: options.insecureDownloads,
      stopping: Deferred.await(stopping),
    }).pipe(Layer.provide(bundleLimits(options))),
    MetricsRoutes,
    HostCheck.layer({ allowedHosts }),
    Layer.unwrap(
      Effect.map(backend.authenticate, (authenticate) =>
        PluginRoutes.layer(backend.host, authenticate, {
          allowedHosts,
          maxRequestsInFlight: limits.requests,
          server: httpServer,
          trustedProxies: options.trustedProxies,
        }),
      ),
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
  // Built last, so that it ends first: before the server waits for what it serves.
  const stop = Layer.effectDiscard(Effect.addFinalizer(() => Deferred.succeed(stopping, undefined)))
  return stop.pipe(
    Layer.provideMerge(
      HttpRouter.serve(routes, {
        disableLogger: true,
        disableListenLog: true,
        routerConfig: AdminRoutes.routerConfig,
      }),
    ),
    Layer.provideMerge(server),
    Layer.provideMerge(
      backend
        .environment(Deferred.await(siteUrl))
        .pipe(
          Layer.provide(pythonEnvironments(options, resolve(options.data, ENVIRONMENTS), backend.pythonPackages)),
          Layer.provide(settings),
        ),
    ),
    Layer.provideMerge(PluginLogs.layer),
    Layer.provideMerge(AccessToken.layerFrom(options.tokenFile)),
    Layer.provide(Layer.effectDiscard(makeDataFolder(options.data))),
  )
}
