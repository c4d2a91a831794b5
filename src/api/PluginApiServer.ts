import { timingSafeEqual } from "node:crypto"
import { join } from "node:path"
import { create, type DescMethod } from "@bufbuild/protobuf"
import { Cause, Context, Effect, Layer, type Scope } from "effect"
import { PluginAPI } from "../generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import { RpcStatus, statusCode } from "../rpc/RpcError.ts"
import { type CallContext, type Handlers, implement } from "../rpc/RpcHandler.ts"
import { MAX_MESSAGE_SIZE } from "../rpc/RpcLimits.ts"
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

/** The metadata in which a plugin shows its token. */
export const TOKEN_KEY = "plugin-supervisor-token"

/** How a plugin shows that it is the one whose socket it calls on. */
export interface ApiAccess {
  /** Known to the plugin's own process alone. A call that shows another one is refused. */
  readonly token: string
  /** Whether calls that show none are refused: they are once the plugin has taken its token, as plugins on our SDK do. */
  readonly isRequired: () => boolean
}

/** How the host API is served to one plugin. */
export interface ApiServerOptions {
  /** Default: whoever reaches the socket may call. */
  readonly access?: ApiAccess | undefined
  /** The largest request, in bytes. Default {@link MAX_MESSAGE_SIZE}. */
  readonly maxMessageSize?: number | undefined
}

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

const answerError = (method: DescMethod, error: PluginApiError): Effect.Effect<object, RpcStatus> => {
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
        new RpcStatus({
          code: STATUS_BY_HTTP[status] ?? statusCode.INTERNAL,
          details: `${error.id}: ${error.message}`.toWellFormed(),
        }),
      )
}

/** Whether a call may go on, by what it shows. */
const isAllowed = ({ isRequired, token }: ApiAccess, shown: string | Uint8Array | undefined): boolean => {
  if (shown === undefined) return !isRequired()
  const [given, expected] = [Buffer.from(shown), Buffer.from(token)]
  return given.length === expected.length && timingSafeEqual(given, expected)
}

const unauthenticated = new RpcStatus({
  code: statusCode.UNAUTHENTICATED,
  details:
    "the call does not show the plugin's own token; only the plugin's process has it, and what it starts has not",
})

type Call = (request: object, caller: PluginCaller) => Effect.Effect<object, PluginApiError>

/**
 * The handler of one rpc. This is where everything that a plugin asks for is checked, and what is answered as well,
 * since the plugin has to be able to read it; and where whatever goes wrong becomes an answer, and a line in the log
 * if nobody foresaw it.
 */
const handler = (method: DescMethod, call: Call, caller: PluginCaller, access: ApiAccess | undefined) => {
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
  return (request: object, { metadata }: CallContext): Effect.Effect<object, RpcStatus> => {
    if (access !== undefined && !isAllowed(access, metadata[TOKEN_KEY])) return Effect.fail(unauthenticated)
    return Effect.suspend(() => {
      const problem = messageProblem(method.input, request as never)
      return problem === undefined ? call(request, caller) : Effect.fail(invalidRequest(problem))
    }).pipe(
      Effect.flatMap(answer),
      Effect.catchCauseIf(Cause.hasDies, (cause) => unforeseen("unexpectedly", cause)),
      Effect.catch((error) => answerError(method, error)),
    )
  }
}

/** The handlers of the host API's service, as one plugin sees it: derived from the contract, one for each rpc. */
const handlersFor = (
  api: PluginApiMethods,
  caller: PluginCaller,
  access: ApiAccess | undefined,
): Handlers<typeof PluginAPI> =>
  Object.fromEntries(
    PluginAPI.methods.map((method) => [
      method.localName,
      handler(method, api[method.localName as keyof PluginApiMethods] as Call, caller, access),
    ]),
  )

/** Serves the host API to plugins: each has a server of its own, so that the socket says who calls, and a token to prove it. */
export class PluginApiServer extends Context.Service<
  PluginApiServer,
  {
    /**
     * Serves the host API to one plugin until the Scope closes, and answers the value of its
     * `MATTERMOST_PLUGIN_API_TARGET`: a unix socket in `directory` (which only the plugin's user may enter), or a
     * loopback port where there are no unix sockets.
     */
    readonly serve: (
      caller: PluginCaller,
      directory: string,
      options?: ApiServerOptions,
    ) => Effect.Effect<string, GrpcServerError, Scope.Scope>
  }
>()("effect-plugin-supervisor/api/PluginApiServer") {
  static readonly layer: Layer.Layer<PluginApiServer, never, PluginApi> = Layer.effect(
    PluginApiServer,
    Effect.map(PluginApi, (api) => ({
      serve: (caller, directory, { access, maxMessageSize = MAX_MESSAGE_SIZE } = {}) =>
        serve(
          process.platform === "win32" ? { loopbackPort: 0 } : { unix: join(directory, API_SOCKET) },
          [implement(PluginAPI, handlersFor(api, caller, access))],
          { maxMessageSize },
        ).pipe(Effect.annotateLogs({ plugin_id: caller.pluginId })),
    })),
  )

  /** For tests: serves nothing; plugins are told of a socket that isn't there. */
  static readonly layerTest: Layer.Layer<PluginApiServer> = Layer.succeed(PluginApiServer, {
    serve: (_, directory) => Effect.succeed(`unix:${directory}/${API_SOCKET}`),
  })
}
