import { createServer } from "node:http"
import { isIP } from "node:net"
import { NodeHttpServer } from "@effect/platform-node"
import { Console, Duration, Effect, Layer, Option, Record, Redacted } from "effect"
import { CliError, Command, Flag } from "effect/cli"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"
import { Otlp, OtlpSerialization } from "effect/observability"
import { PluginBundles } from "../bundle/PluginBundle.ts"
import { PluginEnvironment } from "../environment/PluginEnvironment.ts"
import * as PluginHost from "../environment/PluginHost.ts"
import { PluginLogRate } from "../goplugin/LogBudget.ts"
import { RuntimeDirectory } from "../goplugin/SocketDirectory.ts"
import { HookDispatcher } from "../hooks/HookDispatcher.ts"
import { hookPolicies } from "../hooks/HookPolicies.ts"
import type { HooksOptions } from "../hooks/HookPolicy.ts"
import { ACCESS_TOKEN_VARIABLE, AccessToken } from "../http/AccessToken.ts"
import { authenticator } from "../http/HttpAuthorization.ts"
import { MetricsRoutes } from "../http/MetricsRoutes.ts"
import * as PluginRoutes from "../http/PluginRoutes.ts"
import { PluginStatusRoutes } from "../http/PluginStatusRoutes.ts"
import { WorkspaceRoutes } from "../http/WorkspaceRoutes.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../workspace/Workspace.ts"
import { WorkspacePluginApi } from "../workspace/WorkspacePluginApi.ts"
import { SERVER_VERSION, WorkspaceSettings } from "../workspace/WorkspaceSettings.ts"
import * as StderrLog from "./StderrLog.ts"

/** How long requests in flight may go on when the supervisor stops; what streams for ever is cut then. */
const HTTP_STOP_LIMIT = Duration.seconds(2)

/** Traces, metrics and logs for a collector, as far as OpenTelemetry's own variables ask for them. */
const telemetry = Otlp.layerFromConfig({ resource: { serviceName: "plugin-supervisor" } }).pipe(
  Layer.provide(OtlpSerialization.layerProtobuf),
  Layer.provide(FetchHttpClient.layer),
)

export interface ServeOptions {
  /** Folder of the plugins' bundles. */
  readonly plugins: string
  /** Folder of the workspace's data. */
  readonly data: string
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  /** Variables of the host that plugins may see: `NAME` or `PREFIX_*`. */
  readonly allowEnv: ReadonlyArray<string>
  readonly pluginLogLevel: "DEBUG" | "INFO" | "WARNING" | "ERROR"
  /** Lines a second that are logged of what one plugin prints. */
  readonly pluginLogRate: number
  /** Folder of the plugins' sockets. */
  readonly runtimeDirectory: Option.Option<string>
  /** What is set for the hooks of single plugins, by id. */
  readonly hookPolicies: { readonly [pluginId: string]: HooksOptions }
}

/** The supervisor by itself: the plugins of a folder on an embedded workspace, behind HTTP. */
export const serveLayer = (options: ServeOptions) => {
  const { allowEnv, data, hookPolicies, host, pluginLogLevel, plugins, port } = options
  const settings = Layer.mergeAll(
    Layer.succeed(PluginLogRate, options.pluginLogRate),
    Layer.succeed(RuntimeDirectory, Option.getOrUndefined(options.runtimeDirectory)),
  )
  const workspace = Workspace.layerIn(data).pipe(Layer.provide(HookDispatcher.layer))
  const environment = PluginHost.layer({
    directory: plugins,
    defaults: { allowVariables: allowEnv, logLevel: pluginLogLevel },
    plugins: Record.map(hookPolicies, (hooks) => ({ hooks })),
  }).pipe(
    Layer.provide(WorkspacePluginApi.layer),
    Layer.provide(PluginBundles.layer),
    Layer.provideMerge(workspace),
    Layer.provide(settings),
    Layer.provide(Layer.succeed(WorkspaceSettings, { siteUrl: url(host, port), serverVersion: SERVER_VERSION })),
  )
  const routes = Layer.mergeAll(
    WorkspaceRoutes,
    PluginStatusRoutes,
    MetricsRoutes,
    Layer.unwrap(Effect.map(authenticator, PluginRoutes.layer)),
  )
  const server = NodeHttpServer.layer(createServer, { host, port, gracefulShutdownTimeout: HTTP_STOP_LIMIT })
  return HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provideMerge(server),
    Layer.provideMerge(environment),
    Layer.provideMerge(AccessToken.layer),
  )
}

const url = (host: string, port: number): string => `http://${isIP(host) === 6 ? `[${host}]` : host}:${port}`

/** Tells how to reach the supervisor; when the plugins have started, with lines to try that work as they are printed. */
const announce = Effect.fnUntraced(function* (host: string) {
  const token = yield* AccessToken
  const { address } = yield* HttpServer.HttpServer
  const workspace = yield* Workspace
  const { plugins, settled } = yield* PluginEnvironment
  const base = url(host, "port" in address ? address.port : 0)
  const shown = token.isGenerated ? Redacted.value(token.value) : `$${ACCESS_TOKEN_VARIABLE}`
  yield* Console.log(`The plugin supervisor listens on ${base}`)
  yield* Console.log(
    token.isGenerated
      ? `Its token, made for this run, is ${shown}`
      : `Its token is the one in ${ACCESS_TOKEN_VARIABLE}`,
  )

  yield* settled
  const team = yield* workspace.teams.getByName(TEAM_NAME)
  const channel = yield* workspace.channels.getByName(team.id, CHANNEL_NAME)
  const active = yield* Effect.forEach(plugins, (plugin) => plugin.active)
  const serving = active.find((plugin) => Option.isSome(plugin) && plugin.value.hooks.implemented.has("serveHTTP"))
  const authorization = `-H "Authorization: Bearer ${shown}"`
  const lines = [
    `curl ${authorization} ${base}/api/v4/plugins/statuses`,
    `curl ${authorization} -d '{"channel_id":"${channel.id}","message":"hello python"}' ${base}/api/v4/posts`,
  ]
  if (serving !== undefined && Option.isSome(serving)) {
    lines.push(`curl ${base}/plugins/${serving.value.bundle.manifest.id}/`)
  }
  yield* Console.log(["Try:", ...lines.map((line) => `  ${line}`)].join("\n"))
})

/** `plugin-supervisor serve`. */
export const serve = Command.make(
  "serve",
  {
    plugins: Flag.Directory("plugins", { mustExist: true }).pipe(
      Flag.withDescription("Folder of the plugins, one folder each. Required"),
    ),
    data: Flag.String("data").pipe(
      Flag.withDescription("Folder of the workspace's data; made when it is missing. Default data"),
      Flag.withDefault("data"),
    ),
    host: Flag.String("host").pipe(
      Flag.withDescription("Address to listen on; one that isn't loopback opens the host to others. Default 127.0.0.1"),
      Flag.withDefault("127.0.0.1"),
    ),
    port: Flag.Int("port").pipe(
      Flag.withDescription("TCP port to listen on; 0 picks a free one. Default 8065"),
      Flag.filter(
        (port) => port >= 0 && port <= 65_535,
        () => "a TCP port, from 0 to 65535",
      ),
      Flag.withDefault(8065),
    ),
    allowEnv: Flag.String("allow-env").pipe(
      Flag.withDescription("Environment variable that plugins may see, NAME or PREFIX_*; may be repeated"),
      Flag.atLeast(0),
    ),
    pluginLogLevel: Flag.Literals("plugin-log-level", ["DEBUG", "INFO", "WARNING", "ERROR"]).pipe(
      Flag.withDescription("Level from which plugins log. Default INFO"),
      Flag.withDefault("INFO"),
    ),
    pluginLogRate: Flag.Int("plugin-log-rate").pipe(
      Flag.withDescription(
        "Lines a second that are logged of what one plugin prints; ten times as many may come at once, more is left out. Default 1000",
      ),
      Flag.filter(
        (rate) => rate > 0,
        () => "a number of lines, from 1",
      ),
      Flag.withDefault(1000),
    ),
    runtimeDirectory: Flag.String("runtime-directory").pipe(
      Flag.withDescription(
        "Folder of the plugins' sockets, with a short path; made when it is missing. Default RUNTIME_DIRECTORY, else the temporary folder",
      ),
      Flag.optional,
    ),
    hookPolicies: Flag.FileParse("hook-policies").pipe(
      Flag.withDescription("JSON, YAML or TOML file of deadlines, and of what a failure means, by plugin and hook"),
      Flag.mapEffect((written) => Effect.mapError(hookPolicies(written), (cause) => new CliError.UserError({ cause }))),
      Flag.withDefault({}),
    ),
  },
  (options) =>
    Effect.andThen(announce(options.host), Effect.never).pipe(
      Effect.provide(serveLayer(options)),
      Effect.catchTag("ServeError", ({ cause }) => {
        const reason = `can't listen on ${options.host}:${options.port} (${cause instanceof Error ? cause.message : String(cause)})`
        return Effect.fail(new CliError.UserError({ cause: `${reason}; choose another --host or --port` }))
      }),
      Effect.provide(Layer.provideMerge(telemetry, StderrLog.layer)),
    ),
).pipe(
  Command.withDescription(
    `Run the plugins of a folder on an embedded workspace. The token is that in ${ACCESS_TOKEN_VARIABLE}, or made for the run`,
  ),
)
