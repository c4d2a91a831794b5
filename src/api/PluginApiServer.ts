import { join } from "node:path"
import { create, type DescMethod } from "@bufbuild/protobuf"
import { Cause, Context, Effect, Layer, type Scope } from "effect"
import { PluginAPI } from "../generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import { GrpcStatus, statusCode } from "../grpc/GrpcError.ts"
import { type Handlers, implement } from "../grpc/GrpcHandler.ts"
import { type GrpcServerError, serve } from "../grpc/GrpcServer.ts"
import { errorStatus } from "../rpc/ErrorStatus.ts"
import { describeProblem, messageProblem, OUTGOING } from "../rpc/MessageCheck.ts"
import {
  internalError,
  invalidRequest,
  PluginApi,
  type PluginApiError,
  type PluginApiMethods,
  type PluginCaller,
} from "./PluginApi.ts"

/** The name of a plugin's host API socket in its private folder. */
const API_SOCKET = "api.sock"

/**
 * gRPC statuses for the HTTP statuses of business errors, for responses without an `error` field (contract,
 * "Errors").
 */
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

const answerError = (method: DescMethod, error: PluginApiError): Effect.Effect<object, GrpcStatus> => {
  const status = errorStatus(error.statusCode)
  return method.output.fields.some((field) => field.localName === "error")
    ? Effect.succeed({
        error: {
          id: error.id,
          message: error.message,
          statusCode: status,
          where: error.where ?? method.name,
          detailedError: error.detailedError ?? "",
        },
      })
    : Effect.fail(
        new GrpcStatus({
          code: STATUS_BY_HTTP[status] ?? statusCode.INTERNAL,
          details: `${error.id}: ${error.message}`.toWellFormed(),
        }),
      )
}

type Call = (request: object, caller: PluginCaller) => Effect.Effect<object, PluginApiError>

/**
 * The handler of one rpc. This is where everything that a plugin asks for is checked, and what is answered as well,
 * since the plugin has to be able to read it; and where whatever goes wrong becomes an answer, and a line in the log
 * if nobody foresaw it.
 */
const handler = (method: DescMethod, call: Call, caller: PluginCaller) => {
  const unforeseen = (problem: string, ...details: ReadonlyArray<unknown>) =>
    Effect.andThen(
      Effect.logError(`${method.name} of the host API failed: ${problem}`, ...details),
      Effect.fail(internalError(method.name)),
    )
  const answer = (response: object) => {
    const message = create(method.output, response as never)
    const problem = messageProblem(method.output, message, OUTGOING)
    return problem === undefined ? Effect.succeed(message) : unforeseen(`in its answer ${describeProblem(problem)}`)
  }
  return (request: object): Effect.Effect<object, GrpcStatus> =>
    Effect.suspend(() => {
      const problem = messageProblem(method.input, request as never)
      return problem === undefined ? call(request, caller) : Effect.fail(invalidRequest(problem))
    }).pipe(
      Effect.flatMap(answer),
      Effect.catchCauseIf(Cause.hasDies, (cause) => unforeseen("unexpectedly", cause)),
      Effect.catch((error) => answerError(method, error)),
    )
}

/** The handlers of the host API's service, as one plugin sees it: derived from the contract, one for each rpc. */
const handlersFor = (api: PluginApiMethods, caller: PluginCaller): Handlers<typeof PluginAPI> =>
  Object.fromEntries(
    PluginAPI.methods.map((method) => [
      method.localName,
      handler(method, api[method.localName as keyof PluginApiMethods] as Call, caller),
    ]),
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
