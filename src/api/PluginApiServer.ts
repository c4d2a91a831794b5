import { join } from "node:path"
import type { DescMethod } from "@bufbuild/protobuf"
import { Context, Effect, Layer, type Scope } from "effect"
import { PluginAPI } from "../generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import { GrpcStatus, statusCode } from "../grpc/GrpcError.ts"
import { type Handlers, implement } from "../grpc/GrpcHandler.ts"
import { type GrpcServerError, serve } from "../grpc/GrpcServer.ts"
import { PluginApi, type PluginApiError, type PluginApiMethods, type PluginCaller } from "./PluginApi.ts"

/** The name of a plugin's host API socket in its private folder. */
const API_SOCKET = "api.sock"

/** gRPC statuses for the HTTP statuses of business errors, for responses without an `error` field (contract, "Errors"). */
const STATUS_BY_HTTP: { readonly [status: number]: number } = {
  400: statusCode.INVALID_ARGUMENT,
  401: statusCode.UNAUTHENTICATED,
  403: statusCode.PERMISSION_DENIED,
  404: statusCode.NOT_FOUND,
  409: statusCode.ALREADY_EXISTS,
  413: statusCode.RESOURCE_EXHAUSTED,
  429: statusCode.RESOURCE_EXHAUSTED,
  501: statusCode.UNIMPLEMENTED,
  503: statusCode.UNAVAILABLE,
}

const answerError = (method: DescMethod, error: PluginApiError): Effect.Effect<object, GrpcStatus> =>
  method.output.fields.some((field) => field.localName === "error")
    ? Effect.succeed({
        error: {
          id: error.id,
          message: error.message,
          statusCode: error.statusCode,
          where: error.where ?? method.name,
          detailedError: error.detailedError ?? "",
        },
      })
    : Effect.fail(
        new GrpcStatus({
          code: STATUS_BY_HTTP[error.statusCode] ?? statusCode.INTERNAL,
          details: `${error.id}: ${error.message}`,
        }),
      )

/** The handlers of the host API's service, as one plugin sees it: derived from the contract, one for each rpc. */
const handlersFor = (api: PluginApiMethods, caller: PluginCaller): Handlers<typeof PluginAPI> =>
  Object.fromEntries(
    PluginAPI.methods.map((method) => {
      const call = api[method.localName as keyof PluginApiMethods] as (
        request: object,
        caller: PluginCaller,
      ) => Effect.Effect<object, PluginApiError>
      return [
        method.localName,
        (request: object) => Effect.catch(call(request, caller), (error) => answerError(method, error)),
      ]
    }),
  )

/** Serves the host API to plugins: each plugin has a server of its own, so that its socket says who calls. */
export class PluginApiServer extends Context.Service<
  PluginApiServer,
  {
    /**
     * Serves the host API to one plugin until the Scope closes, and answers the value of its
     * `MATTERMOST_PLUGIN_API_TARGET`: a unix socket in `directory` (which only the plugin's user may enter), or a
     * loopback port where there are no unix sockets.
     */
    readonly serve: (caller: PluginCaller, directory: string) => Effect.Effect<string, GrpcServerError, Scope.Scope>
  }
>()("effect-plugin-supervisor/api/PluginApiServer") {
  static readonly layer: Layer.Layer<PluginApiServer, never, PluginApi> = Layer.effect(
    PluginApiServer,
    Effect.map(PluginApi, (api) => ({
      serve: (caller: PluginCaller, directory: string) =>
        serve(process.platform === "win32" ? { loopbackPort: 0 } : { unix: join(directory, API_SOCKET) }, [
          implement(PluginAPI, handlersFor(api, caller)),
        ]).pipe(Effect.annotateLogs({ plugin_id: caller.pluginId })),
    })),
  )

  /** For tests: serves nothing; plugins are told of a socket that isn't there. */
  static readonly layerTest: Layer.Layer<PluginApiServer> = Layer.succeed(PluginApiServer, {
    serve: (_, directory) => Effect.succeed(`unix:${directory}/${API_SOCKET}`),
  })
}
