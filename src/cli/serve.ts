import { Config, Effect, Option } from "effect"
import { CliError, Command, Flag } from "effect/cli"
import { VARIABLES } from "../command/Variables.ts"
import { TRUSTED_PROXIES, trustedProxies } from "../http/ClientOrigin.ts"
import { lazily } from "./lazily.ts"
import { LIMIT_NAMES, limitsOf } from "./Limits.ts"
import { PLUGIN_LIMIT_NAMES, pluginLimitsOf } from "../supervisor/WrittenLimits.ts"
import { pythonFlags } from "./pythonFlags.ts"
import { signatureFlags } from "./signatureFlags.ts"
import { tokenFlag } from "./tokenFlag.ts"
import { wrongFlag } from "./wrongFlag.ts"

/** A URL that a path can be put behind. */
const siteUrlOf = (given: string): Option.Option<string> => {
  const url = URL.parse(given)
  return url !== null && /^https?:$/.test(url.protocol) && url.search === "" && url.hash === "" && url.username === ""
    ? Option.some(url.href.replace(/\/+$/, ""))
    : Option.none()
}

/** The proxies in a list; fails with what can't be one. */
const proxiesOf = (given: string): Effect.Effect<ReadonlyArray<string>, string> => {
  const proxies = given
    .split(",")
    .map((proxy) => proxy.trim())
    .filter((proxy) => proxy !== "")
  return Effect.as(Effect.fromResult(trustedProxies(proxies)), proxies)
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
    tokenFile: tokenFlag,
    allowHost: Flag.String("allow-host").pipe(
      Flag.withDescription(
        "Name by which clients may ask for the host, or * for any; may be repeated. Default: loopback names where --host is loopback, and any elsewhere",
      ),
      Flag.atLeast(0),
    ),
    trustedProxies: Flag.String("trusted-proxies").pipe(
      Flag.withDescription(
        `Proxies that are believed whom they ask for: addresses and ranges such as 10.0.0.0/8, with commas between; empty for none. Default ${VARIABLES.trustedProxies}, else ${TRUSTED_PROXIES.join(",")}`,
      ),
      Flag.withFallbackConfig(Config.String(VARIABLES.trustedProxies)),
      Flag.withDefault(TRUSTED_PROXIES.join(",")),
      Flag.mapEffect((given) =>
        Effect.mapError(
          proxiesOf(given),
          (problem) => new CliError.UserError({ cause: `trusted proxies: ${problem}` }),
        ),
      ),
    ),
    allowEnv: Flag.String("allow-env").pipe(
      Flag.withDescription("Environment variable that plugins may see, NAME or PREFIX_*; may be repeated"),
      Flag.atLeast(0),
    ),
    pluginLogLevel: Flag.Literals("plugin-log-level", ["DEBUG", "INFO", "WARNING", "ERROR"]).pipe(
      Flag.withDescription("Level from which plugins log. Default INFO"),
      Flag.withDefault("INFO"),
    ),
    limits: Flag.KeyValuePair("limit").pipe(
      Flag.withDescription(
        `Bound that is not the default, name=value; may be repeated. Names: ${LIMIT_NAMES.join(", ")}`,
      ),
      Flag.withDefault({}),
      Flag.mapEffect((given) => Effect.mapError(limitsOf(given), wrongFlag("--limit"))),
    ),
    install: Flag.Boolean("install").pipe(
      Flag.withDescription("Let bearers of the token install plugins over HTTP; --no-install does not. Default true"),
      Flag.withDefault(true),
    ),
    insecureDownloads: Flag.Boolean("insecure-downloads").pipe(
      Flag.withDescription("Download plugins by http from others too, who can be anybody on the way. Default false"),
      Flag.withDefault(false),
    ),
    pluginLimits: Flag.KeyValuePair("plugin-limit").pipe(
      Flag.withDescription(
        `What each plugin may take of the machine (Linux), name=value; may be repeated. Default: no limits. Names: ${PLUGIN_LIMIT_NAMES.join(", ")}`,
      ),
      Flag.withDefault({}),
      Flag.mapEffect((given) => Effect.mapError(pluginLimitsOf(given), wrongFlag("--plugin-limit"))),
    ),
    runtimeDirectory: Flag.String("runtime-directory").pipe(
      Flag.withDescription(
        "Folder of the plugins' sockets, with a short path; made when it is missing. Default RUNTIME_DIRECTORY, else the temporary folder",
      ),
      Flag.optional,
    ),
    pluginOptions: Flag.FileParse("plugin-options").pipe(
      Flag.withDescription(
        "JSON, YAML or TOML file of restarts, health checks, limits, deadlines and what a failure means, by plugin, * for all",
      ),
      Flag.withDefault({}),
    ),
    backend: Flag.File("backend", { mustExist: true }).pipe(
      Flag.withDescription(
        "Module of a contract of your own: it exports { host, api, pythonPackages } as its default. Default: Mattermost's, on an embedded workspace",
      ),
      Flag.optional,
    ),
    ...signatureFlags,
    ...pythonFlags,
  },
  lazily(() => import("./run/serve.ts")),
).pipe(Command.withDescription("Run the plugins of a folder on an embedded workspace"))
