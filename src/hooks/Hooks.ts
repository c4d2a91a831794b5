import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf"
import { Context, Duration, Effect, Layer } from "effect"
import { ImplementedRequestSchema } from "../generated/mattermost/pluginapi/v1/hooks_lifecycle_pb.js"
import type { AppError } from "../generated/mattermost/pluginapi/v1/common_pb.js"
import { PluginHooks } from "../generated/mattermost/pluginapi/v1/plugin_hooks_pb.js"
import type { RpcClient } from "../rpc/RpcClient.ts"
import { type RpcError, statusCode } from "../rpc/RpcError.ts"
import type { Request, RequestInit, Response, ResponseInit } from "../rpc/RpcMethod.ts"
import { errorStatus } from "../rpc/ErrorStatus.ts"
import { describeProblem, messageProblem } from "../rpc/MessageCheck.ts"
import {
  HookDeadlineError,
  type HookError,
  HookNotImplementedError,
  HookPluginError,
  HookTransportError,
} from "./HookError.ts"
import { measured } from "./HookMetrics.ts"
import { type Hook, type HookMethods, hookMethods, hookName, type UnaryHook, unaryHooks } from "./HookName.ts"
import { type EffectivePolicy, type HooksOptions, policyOf } from "./HookPolicy.ts"
import * as InFlight from "./InFlight.ts"
import type { PluginHttpServer } from "./PluginOffers.ts"

/** One call per unary hook, typed from the contract. */
export type UnaryHooks = {
  readonly [K in UnaryHook]: (
    request: RequestInit<HookMethods[K]>,
  ) => Effect.Effect<Response<HookMethods[K]>, HookError>
}

/**
 * The typed client of one plugin's hooks. Each unary hook is a method; `client` reaches the plugin for what is not a
 * unary hook (`serveHTTP`, see `ServeHttp`).
 */
export interface HookClient extends UnaryHooks {
  readonly pluginId: string
  /** The hooks that the plugin implements; asked once. */
  readonly implemented: ReadonlySet<Hook>
  /** What the operator has set for a hook, or its default. */
  readonly policy: (hook: Hook) => EffectivePolicy
  /** What the plugin is at work on: unary hooks are counted by themselves, requests by who sends them. */
  readonly inFlight: InFlight.InFlight
  /** The connection to the plugin. */
  readonly client: RpcClient
  /** Where the plugin serves HTTP itself; requests to others go by `ServeHTTP`. */
  readonly http?: PluginHttpServer | undefined
}

/** How long `Implemented` may take: it is answered from memory, so more than this means a stuck plugin. */
const IMPLEMENTED_DEADLINE = Duration.seconds(10)

/** A call's transport, deadline or handler failure, told apart. `name` is the rpc's. */
export const hookError = (pluginId: string, name: string, deadline: Duration.Input, error: RpcError): HookError => {
  switch (error.code) {
    case statusCode.DEADLINE_EXCEEDED:
      return new HookDeadlineError({ pluginId, hook: name, deadlineMillis: Duration.toMillis(deadline) })
    case statusCode.UNAVAILABLE:
    case statusCode.CANCELLED:
      return new HookTransportError({ pluginId, hook: name, status: error.status, details: error.details })
    default:
      return new HookPluginError({
        pluginId,
        hook: name,
        id: error.status,
        reason: error.details,
        statusCode: 500,
        isAnswer: false,
      })
  }
}

/** An application error inside a response. One without an id is no error (contract, "Errors"). */
const answeredError = (response: MessageShape<DescMessage>): AppError | undefined => {
  const error = (response as { readonly error?: AppError }).error
  return error === undefined || error.id === "" ? undefined : error
}

/** The contract's rule for a plugin without the `Implemented` rpc: it implements every hook. */
const allHooks: ReadonlySet<Hook> = new Set<Hook>([...unaryHooks, "serveHTTP"])

const connect = Effect.fn("Hooks.connect")(function* (
  client: RpcClient,
  pluginId: string,
  options: HooksOptions = {},
): Effect.fn.Return<HookClient, HookError> {
  const told = yield* client
    .unary(PluginHooks.method.implemented, create(ImplementedRequestSchema), { deadline: IMPLEMENTED_DEADLINE })
    .pipe(
      Effect.map(({ hooks }) => new Set([...allHooks].filter((hook) => hooks.includes(hookName(hook))))),
      Effect.catch((error) =>
        error.isUnimplemented
          ? Effect.undefined
          : Effect.fail(hookError(pluginId, PluginHooks.method.implemented.name, IMPLEMENTED_DEADLINE, error)),
      ),
    )
  const implemented = told ?? allHooks
  const policy = (hook: Hook) => policyOf(hook, options)
  const call = Effect.fnUntraced(function* (hook: UnaryHook, request: RequestInit<HookMethods[UnaryHook]>) {
    const method = hookMethods[hook]
    const { deadline } = policy(hook)
    const response = yield* Effect.mapError(client.unary(method, request, { deadline }), (error) =>
      // Whoever has said that it implements the hook can't take it back: then its answer is missing.
      error.isUnimplemented && told === undefined
        ? new HookNotImplementedError({ pluginId, hook: method.name })
        : hookError(pluginId, method.name, deadline, error),
    )
    const problem = messageProblem<DescMessage>(method.output, response)
    if (problem !== undefined) {
      return yield* new HookPluginError({
        pluginId,
        hook: method.name,
        id: "plugin.invalid_answer.error",
        reason: `in its answer ${describeProblem(problem)}`,
        statusCode: 500,
        isAnswer: false,
      })
    }
    const error = answeredError(response)
    if (error === undefined) return response
    return yield* new HookPluginError({
      pluginId,
      hook: method.name,
      id: error.id,
      reason: error.message === "" ? error.detailedError : error.message,
      statusCode: errorStatus(error.statusCode),
      isAnswer: true,
    })
  })
  const inFlight = InFlight.make()
  return {
    ...unaryCalls(pluginId, implemented, (hook, request) =>
      inFlight.track(measured(pluginId, hookName(hook), call(hook, request))),
    ),
    pluginId,
    implemented,
    policy,
    inFlight,
    client,
  }
})

/** One method per unary hook: `call` for those the plugin implements, an immediate failure for the others. */
const unaryCalls = (
  pluginId: string,
  implemented: ReadonlySet<Hook>,
  call: (hook: UnaryHook, request: any) => Effect.Effect<unknown, HookError>,
): UnaryHooks =>
  Object.fromEntries(
    unaryHooks.map((hook) => {
      const absent = Effect.fail(new HookNotImplementedError({ pluginId, hook: hookName(hook) }))
      return [hook, implemented.has(hook) ? (request: unknown) => call(hook, request) : () => absent]
    }),
  ) as unknown as UnaryHooks

/** The hook RPC layer: makes the typed hooks of a plugin that has been connected to. */
export class Hooks extends Context.Service<
  Hooks,
  {
    /**
     * Asks the plugin what it implements (once) and answers its hooks. A plugin without the `Implemented` rpc is taken
     * to implement every hook; names this host does not know are ignored.
     */
    readonly connect: (
      client: RpcClient,
      pluginId: string,
      options?: HooksOptions,
    ) => Effect.Effect<HookClient, HookError>
  }
>()("effect-plugin-supervisor/hooks/Hooks") {
  static readonly layer: Layer.Layer<Hooks> = Layer.succeed(Hooks, { connect })

  /** For tests: every plugin answers with `handlers` and implements exactly those hooks, without a process or gRPC. */
  static readonly layerTest = (handlers: HookHandlers): Layer.Layer<Hooks> =>
    Layer.succeed(Hooks, {
      connect: (client, pluginId) => Effect.sync(() => testClient(client, pluginId, handlers)),
    })
}

/** Hooks by camelCase name, for tests: each is handed a request and answers a response, or the fields of one. */
export type HookHandlers = {
  readonly [K in UnaryHook]?: (
    request: Request<HookMethods[K]>,
  ) => Effect.Effect<ResponseInit<HookMethods[K]>, HookError>
}

/** A client that answers from `handlers`; see {@link Hooks.layerTest}. */
export const testClient = (
  client: RpcClient,
  pluginId: string,
  handlers: HookHandlers,
  options: HooksOptions = {},
): HookClient => {
  const implemented = new Set(Object.keys(handlers) as Array<UnaryHook>)
  const call = (hook: UnaryHook, request: any): Effect.Effect<unknown, HookError> => {
    const { input, output } = hookMethods[hook]
    const handler = handlers[hook] as (request: unknown) => Effect.Effect<any, HookError>
    return Effect.map(handler(create(input, request)), (response) => create(output, response))
  }
  const inFlight = InFlight.make()
  return {
    ...unaryCalls(pluginId, implemented, (hook, request) => inFlight.track(call(hook, request))),
    pluginId,
    implemented,
    policy: (hook) => policyOf(hook, options),
    inFlight,
    client,
  }
}
