import { isIP } from "node:net"
import { NodeHttpServer } from "@effect/platform-node"
import { Console, Deferred, Duration, Effect, Layer, Option, Record, Redacted } from "effect"
import { CliError, Command, Flag } from "effect/cli"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"
import { Otlp, OtlpSerialization } from "effect/observability"
import { PluginBundles } from "../bundle/PluginBundle.ts"
import { ServerVersion } from "../command/ServerVersion.ts"
import { PluginEnvironment } from "../environment/PluginEnvironment.ts"
import * as PluginHost from "../environment/PluginHost.ts"
import { PluginLogRate } from "../goplugin/LogBudget.ts"
import { RuntimeDirectory } from "../goplugin/SocketDirectory.ts"
import { ActivePlugins } from "../hooks/ActivePlugins.ts"
import { HookDispatcher } from "../hooks/HookDispatcher.ts"
import { hookPolicies } from "../hooks/HookPolicies.ts"
import type { HooksOptions } from "../hooks/HookPolicy.ts"
import { ACCESS_TOKEN_VARIABLE, AccessToken } from "../http/AccessToken.ts"
import * as HostCheck from "../http/HostCheck.ts"
import { isExactly } from "../http/HostTokens.ts"
import { authenticator } from "../http/HttpAuthorization.ts"
import { HttpFailures } from "../http/HttpFailures.ts"
import { MetricsRoutes } from "../http/MetricsRoutes.ts"
import { createServer } from "../http/NodeServer.ts"
import * as PluginRoutes from "../http/PluginRoutes.ts"
import { PluginStatusRoutes } from "../http/PluginStatusRoutes.ts"
import { MAX_REQUESTS_IN_FLIGHT } from "../http/RequestLimit.ts"
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
  /** Where people reach the host; none for the address that it listens on. */
  readonly siteUrl: Option.Option<string>
  /** The file with the access token; none for the environment's. */
  readonly tokenFile: Option.Option<string>
  /** Variables of the host that plugins may see: `NAME` or `PREFIX_*`. */
  readonly allowEnv: ReadonlyArray<string>
  /** Names by which clients may ask for the host; empty for the default of `HostCheckOptions`. */
  readonly allowHost: ReadonlyArray<string>
  /** HTTP requests of one plugin that may be in flight. */
  readonly maxPluginRequests: number
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
  // Which port it is, is known when it listens; whoever asks before that waits.
  const siteUrl = Deferred.makeUnsafe<string>()
  const allowedHosts = options.allowHost.length === 0 ? undefined : options.allowHost
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
    Layer.provide(Layer.succeed(ServerVersion, SERVER_VERSION)),
    Layer.provide(
      Layer.succeed(WorkspaceSettings, { siteUrl: Deferred.await(siteUrl), serverVersion: SERVER_VERSION }),
    ),
    Layer.provide(settings),
  )
  const routes = Layer.mergeAll(
    WorkspaceRoutes,
    PluginStatusRoutes,
    MetricsRoutes,
    HostCheck.layer({ allowedHosts }),
    Layer.unwrap(
      Effect.gen(function* () {
        const { value } = yield* AccessToken
        return PluginRoutes.layer(yield* authenticator, {
          allowedHosts,
          isToken: isExactly(Redacted.value(value)),
          maxRequestsInFlight: options.maxPluginRequests,
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
      if (Option.isNone(options.siteUrl) && ANY_ADDRESS.has(host)) {
        yield* Effect.logWarning(
          `plugins are told that people reach the host at ${base}; say where they do with --site-url`,
        )
      }
    }),
  )
  const server = Layer.provideMerge(
    listening,
    NodeHttpServer.layer(() => createServer(), { host, port, gracefulShutdownTimeout: HTTP_STOP_LIMIT }),
  )
  return HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provideMerge(server),
    Layer.provideMerge(environment),
    Layer.provideMerge(AccessToken.layerFrom(options.tokenFile)),
  )
}

/** Addresses that stand for all of the machine's; nobody reaches it by them. */
const ANY_ADDRESS: ReadonlySet<string> = new Set(["0.0.0.0", "::"])

/** Where the host is reached from this machine. */
const baseUrl = (host: string) =>
  Effect.map(HttpServer.HttpServer, ({ address }) => {
    const name = ANY_ADDRESS.has(host) ? "localhost" : isIP(host) === 6 ? `[${host}]` : host
    return `http://${name}:${"port" in address ? address.port : 0}`
  })

/** The words for a file in a shell. */
const quoted = (text: string): string =>
  /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`

/** How a shell gets at the token, and where people find it. */
const tokenTold = ({ source, value }: AccessToken["Service"]): { readonly shown: string; readonly where: string } => {
  switch (source._tag) {
    case "File":
      return { shown: `$(cat ${quoted(source.file)})`, where: `is in the file ${source.file}` }
    case "Variable":
      return { shown: `$${ACCESS_TOKEN_VARIABLE}`, where: `is the one in ${ACCESS_TOKEN_VARIABLE}` }
    case "Generated":
      return { shown: Redacted.value(value), where: `made for this run, is ${Redacted.value(value)}` }
  }
}

/**
 * Tells how to reach the supervisor; when the plugins have started, with lines to try that work as they are printed.
 */
const announce = Effect.fnUntraced(function* (host: string) {
  const token = yield* AccessToken
  const workspace = yield* Workspace
  const { settled } = yield* PluginEnvironment
  const active = yield* ActivePlugins
  const base = yield* baseUrl(host)
  const { shown, where } = tokenTold(token)
  yield* Console.log(`The plugin supervisor listens on ${base}`)
  yield* Console.log(`Its token${token.source._tag === "Generated" ? "," : ""} ${where}`)
  if (token.source._tag === "Variable" && process.platform === "linux") {
    yield* Effect.logWarning(
      `programs of the same user, plugins among them, can read the token in the host's environment (/proc); keep it in a file with --token-file, and out of ${ACCESS_TOKEN_VARIABLE}`,
    )
  }

  yield* settled
  // It is only there to be tried: a workspace without it is served all the same.
  const channel = yield* workspace.teams.getByName(TEAM_NAME).pipe(
    Effect.flatMap((team) => workspace.channels.getByName(team.id, CHANNEL_NAME)),
    Effect.option,
  )
  const serving = active.all().find(({ hooks }) => hooks.implemented.has("serveHTTP"))
  const authorization = `-H "Authorization: Bearer ${shown}"`
  const lines = [`curl ${authorization} ${base}/api/v4/plugins/statuses`]
  if (Option.isSome(channel)) {
    const post = `{"channel_id":"${channel.value.id}","message":"hello python"}`
    lines.push(`curl ${authorization} -d '${post}' ${base}/api/v4/posts`)
  }
  if (serving !== undefined) lines.push(`curl ${base}/plugins/${serving.pluginId}/`)
  yield* Console.log(["Try:", ...lines.map((line) => `  ${line}`)].join("\n"))
})

/** A URL that a path can be put behind. */
const siteUrlOf = (given: string): Option.Option<string> => {
  const url = URL.parse(given)
  return url !== null && /^https?:$/.test(url.protocol) && url.search === "" && url.hash === "" && url.username === ""
    ? Option.some(url.href.replace(/\/+$/, ""))
    : Option.none()
}

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
    siteUrl: Flag.String("site-url").pipe(
      Flag.withDescription(
        "Where people reach the host, for plugins to make links of. Default: the address it listens on",
      ),
      Flag.filterMap(siteUrlOf, (given) => `${given} is no http or https URL, without a query`),
      Flag.optional,
    ),
    tokenFile: Flag.String("token-file").pipe(
      Flag.withDescription(
        `File with the token; made with one, for its user only, when it is missing. Default: the token in ${ACCESS_TOKEN_VARIABLE}, or one made for the run`,
      ),
      Flag.optional,
    ),
    allowHost: Flag.String("allow-host").pipe(
      Flag.withDescription(
        "Name by which clients may ask for the host, or * for any; may be repeated. Default: loopback names where --host is loopback, and any elsewhere",
      ),
      Flag.atLeast(0),
    ),
    maxPluginRequests: Flag.Int("max-plugin-requests").pipe(
      Flag.withDescription(`HTTP requests of one plugin that may be in flight. Default ${MAX_REQUESTS_IN_FLIGHT}`),
      Flag.filter(
        (count) => count > 0,
        () => "a number of requests, at least 1",
      ),
      Flag.withDefault(MAX_REQUESTS_IN_FLIGHT),
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
      Effect.catchTag(
        ["AccessTokenFileError", "WorkspaceDatabaseError", "WorkspaceInUseError", "WorkspaceVersionError"],
        (error) => Effect.fail(new CliError.UserError({ cause: error.message })),
      ),
      Effect.catchTag("ServeError", ({ cause }) => {
        const reason = `can't listen on ${options.host}:${options.port} (${cause instanceof Error ? cause.message : String(cause)})`
        return Effect.fail(new CliError.UserError({ cause: `${reason}; choose another --host or --port` }))
      }),
      Effect.provide(Layer.provideMerge(telemetry, StderrLog.layer)),
    ),
).pipe(Command.withDescription("Run the plugins of a folder on an embedded workspace"))
