import { join } from "node:path"
import { Effect, Option } from "effect"
import { limitsOf } from "../../src/cli/Limits.ts"
import { serveLayer } from "../../src/cli/ServeLayer.ts"

/** The supervisor in this process, on a folder with `plugins`: on some port, with all that an operator may set unset. */
export const served = Effect.fnUntraced(function* (root: string, tokenFile?: string) {
  return serveLayer({
    plugins: join(root, "plugins"),
    data: join(root, "data"),
    host: "127.0.0.1",
    port: 0,
    siteUrl: Option.none(),
    tokenFile: Option.fromNullishOr(tokenFile),
    allowEnv: [],
    allowHost: [],
    trustedProxies: [],
    pluginLogLevel: "INFO",
    runtimeDirectory: Option.none(),
    limits: yield* limitsOf({}),
    install: true,
    insecureDownloads: false,
    hookPolicies: {},
  })
})
