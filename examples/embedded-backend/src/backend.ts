/** The backend with its plugins: its own services, the plugin host's layers, and the HTTP doors of both. */
import { Effect, Layer, Option } from "effect"
import { HttpRouter } from "effect/http"
import { MattermostPlugins, PluginRoutes } from "effect-plugin-supervisor"
import { Comments } from "./Comments.ts"
import * as CommentsPluginApi from "./CommentsPluginApi.ts"
import * as Routes from "./routes.ts"

/** This backend knows no users, so no request to a plugin is anybody's. */
const authenticate = () => Effect.succeed(Option.none())

export const backend = (plugins: string) => {
  const comments = Comments.layer.pipe(Layer.provide(MattermostPlugins.layer))
  const host = MattermostPlugins.layerFolder({ directory: plugins }).pipe(
    Layer.provide(CommentsPluginApi.layer),
    Layer.provideMerge(comments),
  )
  return HttpRouter.serve(Layer.mergeAll(Routes.layer, PluginRoutes.layer(MattermostPlugins, authenticate))).pipe(
    Layer.provideMerge(host),
  )
}
