import { timingSafeEqual } from "node:crypto"
import { join } from "node:path"
import type { Duplex } from "node:stream"
import { create, type DescMethod, type DescService } from "@bufbuild/protobuf"
import { Cause, Context, Effect, Layer, Result, type Scope } from "effect"
import type { AnyContract } from "../contract/Contract.ts"
import { RpcStatus, statusCode } from "../rpc/RpcError.ts"
import { type CallContext, implement, type ServiceImplementation } from "../rpc/RpcHandler.ts"
import { MAX_MESSAGE_SIZE } from "../rpc/RpcLimits.ts"
import { RpcServer, type RpcServerError } from "../rpc/RpcServer.ts"
import { errorStatus } from "../rpc/ErrorStatus.ts"
import { describeProblem, INCOMING, type MessageLimits, messageProblem, OUTGOING } from "../rpc/MessageCheck.ts"
import {
  type AnyApiMethods,
  type AnyApiMethod,
  internalError,
  invalidRequest,
  type PluginApiError,
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

/** A contract, what the host offers of its API, and what it offers beside that. */
export interface HostApi {
  readonly contract: AnyContract
  readonly methods: AnyApiMethods
  /** Further services. */
  readonly others?: ReadonlyArray<OtherService> | undefined
}

/** A service beside a contract's own. */
export interface OtherService {
  readonly service: DescService
  readonly methods: AnyApiMethods
}

/** gRPC statuses for the HTTP statuses of business errors, where they don't travel in responses. */
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

const answerError = (
  { errors }: AnyContract,
  method: DescMethod,
  error: PluginApiError,
): Effect.Effect<object, RpcStatus> => {
  const { detailedError, id, message, where = method.name } = error
  const status = errorStatus(error.statusCode)
  const response = errors?.ofApi(method, { id, message, statusCode: status, where, detailedError })
  return response === undefined
    ? Effect.fail(
        new RpcStatus({
          code: STATUS_BY_HTTP[status] ?? statusCode.INTERNAL,
          details: `${id}: ${message}`.toWellFormed(),
        }),
      )
    : Effect.succeed(response)
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

/**
 * The handler of one rpc. This is where everything that a plugin asks for is checked, and what is answered as well,
 * since the plugin has to be able to read it; and where whatever goes wrong becomes an answer, and a line in the log
 * if nobody foresaw it.
 */
const handler =
  (served: Served, method: DescMethod, call: AnyApiMethod) =>
  (request: object, context: CallContext): Effect.Effect<object, RpcStatus> => {
    const { access, caller, incoming, outgoing } = served
    if (access !== undefined && !isAllowed(access, context.metadata[TOKEN_KEY])) return Effect.fail(unauthenticated)
    return Effect.suspend(() => {
      const problem = messageProblem(method.input, request as never, incoming)
      return problem === undefined ? call(request as never, caller) : Effect.fail(invalidRequest(problem))
    }).pipe(
      Effect.flatMap((response) => answer(method, response, outgoing)),
      Effect.catchCause((cause) => failed(served, method, cause)),
    )
  }

/** What the handlers of one server have in common: there are hundreds of them for each plugin. */
interface Served {
  readonly contract: AnyContract
  readonly caller: PluginCaller
  readonly access: ApiAccess | undefined
  readonly incoming: MessageLimits
  readonly outgoing: MessageLimits
}

const answer = (method: DescMethod, response: object, rules: MessageLimits) => {
  const message = create(method.output, response as never)
  const problem = messageProblem(method.output, message, rules)
  return problem === undefined
    ? Effect.succeed(message)
    : unforeseen(method, `in its answer ${describeProblem(problem)}`)
}

const failed = (
  { contract }: Served,
  method: DescMethod,
  cause: Cause.Cause<PluginApiError>,
): Effect.Effect<object, RpcStatus> => {
  const told = (error: PluginApiError) => answerError(contract, method, error)
  if (Cause.hasDies(cause)) return Effect.catch(unforeseen(method, "unexpectedly", cause), told)
  return Result.match(Cause.findError(cause), { onSuccess: told, onFailure: Effect.failCause })
}

const unforeseen = ({ name }: DescMethod, problem: string, ...details: ReadonlyArray<unknown>) =>
  Effect.andThen(
    Effect.logError(`${name} of the host API failed: ${problem}`, ...details),
    Effect.fail(internalError(name)),
  )

/** All that a host offers to one plugin: derived from the services, a handler for each rpc. */
const servicesFor = (
  { contract, methods, others = [] }: HostApi,
  caller: PluginCaller,
  access: ApiAccess | undefined,
): ReadonlyArray<ServiceImplementation> => {
  const incoming = { ...INCOMING, json: contract.json }
  const outgoing = { ...OUTGOING, json: contract.json }
  const served: Served = { contract, caller, access, incoming, outgoing }
  return [{ service: contract.api, methods }, ...others].map(({ methods, service }) =>
    implement(
      service,
      Object.fromEntries(
        service.methods.flatMap((method) => {
          const call = methods[method.localName]
          return call === undefined ? [] : [[method.localName, handler(served, method, call)]]
        }),
      ),
    ),
  )
}

/** Serves the host API to plugins: each has a server of its own, so that the socket says who calls, and a token to prove it. */
export class PluginApiServer extends Context.Service<
  PluginApiServer,
  {
    /**
     * Serves a host API to one plugin until the Scope closes, and answers where the plugin finds it, as gRPC writes
     * addresses: a unix socket in `directory` (which only the plugin's user may enter), or a loopback port where there are
     * no unix sockets.
     */
    readonly serve: (
      api: HostApi,
      caller: PluginCaller,
      directory: string,
      options?: ApiServerOptions,
    ) => Effect.Effect<string, RpcServerError, Scope.Scope>
    /** The same on a connection that the plugin has inherited. Nobody else has it, so that no token is asked for. */
    readonly serveOn: (
      api: HostApi,
      caller: PluginCaller,
      connection: Duplex,
      options?: Omit<ApiServerOptions, "access">,
    ) => Effect.Effect<void, never, Scope.Scope>
  }
>()("effect-plugin-supervisor/api/PluginApiServer") {
  static readonly layer: Layer.Layer<PluginApiServer, never, RpcServer> = Layer.effect(
    PluginApiServer,
    Effect.map(RpcServer, ({ serve, serveOn }) => ({
      serveOn: (api, caller, connection, { maxMessageSize = MAX_MESSAGE_SIZE } = {}) =>
        serveOn(connection, servicesFor(api, caller, undefined), { maxMessageSize }).pipe(
          Effect.annotateLogs({ plugin_id: caller.pluginId }),
        ),
      serve: (api, caller, directory, { access, maxMessageSize = MAX_MESSAGE_SIZE } = {}) =>
        serve(
          process.platform === "win32" ? { loopbackPort: 0 } : { unix: join(directory, API_SOCKET) },
          servicesFor(api, caller, access),
          { maxMessageSize },
        ).pipe(Effect.annotateLogs({ plugin_id: caller.pluginId })),
    })),
  )

  /** For tests: serves nothing; plugins are told of a socket that isn't there. */
  static readonly layerTest: Layer.Layer<PluginApiServer> = Layer.succeed(PluginApiServer, {
    serve: (_, __, directory) => Effect.succeed(`unix:${directory}/${API_SOCKET}`),
    serveOn: () => Effect.void,
  })
}
