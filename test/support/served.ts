import { join } from "node:path"
import { Effect, Option } from "effect"
import { limitsOf } from "../../src/cli/Limits.ts"
import { serveLayer, type ServeOptions } from "../../src/cli/ServeLayer.ts"

/** Settings of a supervisor on a folder with `plugins`: on some port, with all that an operator may set unset. */
export const unset = Effect.fnUntraced(function* (root: string, tokenFile?: string) {
  return {
    plugins: join(root, "plugins"),
    data: join(root, "data"),
    host: "127.0.0.1",
    port: 0,
    siteUrl: Option.none(),
    tokenFile: Option.fromNullishOr(tokenFile),
    allowEnv: [],
    allowHost: [],
    trustedProxies: [],
    pluginLogLevel: "INFO" as const,
    runtimeDirectory: Option.none(),
    limits: yield* limitsOf({}),
    install: true,
    insecureDownloads: false,
    environments: Option.none(),
    provision: false,
    pythonTool: Option.none(),
    pythonSdk: Option.none(),
    pythonIndex: Option.none(),
    findLinks: [],
    offline: false,
    pluginOptions: { defaults: {}, plugins: {} },
  }
})

/** The supervisor in this process. */
export const served = (root: string, tokenFile?: string, options: Partial<ServeOptions> = {}) =>
  Effect.map(unset(root, tokenFile), (rest) => serveLayer({ ...rest, ...options }))
