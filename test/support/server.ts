/** A real HTTP server in front of real plugins, for tests. */
import type { ServerOptions } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer, Option } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "../../src/http/NodeServer.ts"
import * as PluginRoutes from "../../src/http/PluginRoutes.ts"
import type { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { type MattermostApiMethods, MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import type { SupervisorOptions } from "../../src/supervisor/SupervisorOptions.ts"
import { hostEnvironment } from "./host.ts"

/** The one token that is somebody's. */
export const TOKEN = "token-of-a-user"

/** Who has which token. */
const authenticate: PluginRoutes.Authenticate = (token) =>
  Effect.succeed(token === TOKEN ? Option.some("user-1") : Option.none())

/** Settings of a test's server, and of the plugins' routes. */
export interface ServerSettings {
  readonly authenticate?: PluginRoutes.Authenticate
  readonly routes?: PluginRoutes.PluginRoutesOptions
  readonly node?: ServerOptions
  /** Whether requests for plugins come in by the server's own door, as those to `serve` do, and not by the router. */
  readonly isDoor?: boolean
}

/** Serves the plugins of a folder on a free port. */
export const server = (
  directory: string,
  methods: MattermostApiMethods = {},
  plugins: { readonly [id: string]: SupervisorOptions<MattermostContract> } = {},
  settings: ServerSettings = {},
) =>
  Layer.suspend(() => {
    const made = createServer(settings.node)
    const routes = PluginRoutes.layer(MattermostPlugins, settings.authenticate ?? authenticate, {
      ...settings.routes,
      ...(settings.isDoor === true && { server: made }),
    })
    return HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provideMerge(
        NodeHttpServer.layer(() => made, {
          host: "127.0.0.1",
          port: 0,
          gracefulShutdownTimeout: 500,
        }),
      ),
      Layer.provideMerge(MattermostPlugins.layerFolder({ directory, plugins })),
      Layer.provide(MattermostPlugins.layerApi(methods)),
      Layer.provide(hostEnvironment),
      Layer.provideMerge(NodeServices.layer),
    )
  })

/** The server's address. */
export const address = Effect.map(HttpServer.HttpServer, ({ address }) => {
  return `http://127.0.0.1:${"port" in address ? address.port : 0}`
})

/** The server's address, once every plugin is active or has failed. */
export const baseUrl = Effect.andThen(
  Effect.flatMap(MattermostPlugins.Environment, ({ settled }) => settled),
  address,
)
