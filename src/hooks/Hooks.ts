import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf"
import { Context, Duration, Effect, Layer } from "effect"
import { ImplementedRequestSchema } from "../generated/mattermost/pluginapi/v1/hooks_lifecycle_pb.js"
import type { AppError } from "../generated/mattermost/pluginapi/v1/common_pb.js"
import { PluginHooks } from "../generated/mattermost/pluginapi/v1/plugin_hooks_pb.js"
import type { GrpcClient } from "../grpc/GrpcClient.ts"
import { type GrpcError, statusCode } from "../grpc/GrpcError.ts"
import type { RequestInit, Response } from "../grpc/GrpcMethod.ts"
import {
  HookDeadlineError,
  type HookError,
  HookNotImplementedError,
  HookPluginError,
  HookTransportError,
} from "./HookError.ts"
import { type Hook, type HookMethods, hookMethods, hookName, type UnaryHook, unaryHooks } from "./HookName.ts"

/** How long a hook may take unless set otherwise: Mattermost's own limit for its Python plugins. */
export const HOOK_DEADLINE: Duration.Duration = Duration.seconds(30)

/** Options of one plugin's hooks. */
export interface HooksOptions {
  /** Deadline of every hook without one of its own. Default {@link HOOK_DEADLINE}. */
  readonly deadline?: Duration.Input | undefined
  /** Deadlines per hook. */
  readonly deadlines?: { readonly [K in Hook]?: Duration.Input } | undefined
}

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
  /** How long a hook may take. */
  readonly deadline: (hook: Hook) => Duration.Input
  /** The connection to the plugin. */
  readonly client: GrpcClient
}

/** How long `Implemented` may take: it is answered from memory, so more than this means a stuck plugin. */
const IMPLEMENTED_DEADLINE = Duration.seconds(10)

/** A call's transport, deadline or handler failure, told apart. */
export const hookError = (
  pluginId: string,
  hook: Hook | "implemented",
  deadline: Duration.Input,
  error: GrpcError,
): HookError => {
  const name = PluginHooks.method[hook].name
  switch (error.code) {
    case statusCode.DEADLINE_EXCEEDED:
      return new HookDeadlineError({ pluginId, hook: name, deadlineMillis: Duration.toMillis(deadline) })
    case statusCode.UNAVAILABLE:
    case statusCode.CANCELLED:
      return new HookTransportError({ pluginId, hook: name, status: error.status, details: error.details })
    case statusCode.UNIMPLEMENTED:
      return new HookNotImplementedError({ pluginId, hook: name })
    default:
      return new HookPluginError({ pluginId, hook: name, id: error.status, reason: error.details, statusCode: 500 })
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
  client: GrpcClient,
  pluginId: string,
  options: HooksOptions = {},
): Effect.fn.Return<HookClient, HookError> {
  const implemented = yield* client
    .unary(PluginHooks.method.implemented, create(ImplementedRequestSchema), { deadline: IMPLEMENTED_DEADLINE })
    .pipe(
      Effect.map((response) => new Set([...allHooks].filter((hook) => response.hooks.includes(hookName(hook))))),
      Effect.catch((error) =>
        error.isUnimplemented
          ? Effect.succeed(allHooks)
          : Effect.fail(hookError(pluginId, "implemented", IMPLEMENTED_DEADLINE, error)),
      ),
    )
  const deadlineOf = (hook: Hook) => options.deadlines?.[hook] ?? options.deadline ?? HOOK_DEADLINE
  const call = Effect.fnUntraced(function* (hook: UnaryHook, request: RequestInit<HookMethods[UnaryHook]>) {
    const method = hookMethods[hook]
    const deadline = deadlineOf(hook)
    const response = yield* Effect.mapError(client.unary(method, request, { deadline }), (error) =>
      hookError(pluginId, hook, deadline, error),
    )
    const error = answeredError(response)
    if (error === undefined) return response
    return yield* new HookPluginError({
      pluginId,
      hook: method.name,
      id: error.id,
      reason: error.message === "" ? error.detailedError : error.message,
      statusCode: error.statusCode || 500,
    })
  })
  return { ...unaryCalls(pluginId, implemented, call), pluginId, implemented, deadline: deadlineOf, client }
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
      client: GrpcClient,
      pluginId: string,
      options?: HooksOptions,
    ) => Effect.Effect<HookClient, HookError>
  }
>()("effect-plugin-supervisor/hooks/Hooks") {
  static readonly layer: Layer.Layer<Hooks> = Layer.succeed(Hooks, { connect })

  /** For tests: every plugin answers with `handlers` and implements exactly those hooks, without a process or gRPC. */
  static readonly layerTest = (handlers: Partial<UnaryHooks>): Layer.Layer<Hooks> =>
    Layer.succeed(Hooks, {
      connect: (client, pluginId) => Effect.sync(() => testClient(client, pluginId, handlers)),
    })
}

/** A client that answers from `handlers`; see {@link Hooks.layerTest}. */
export const testClient = (client: GrpcClient, pluginId: string, handlers: Partial<UnaryHooks>): HookClient => {
  const implemented = new Set(Object.keys(handlers) as Array<UnaryHook>)
  const call = (hook: UnaryHook, request: any): Effect.Effect<unknown, HookError> =>
    (handlers[hook] as (request: unknown) => Effect.Effect<unknown, HookError>)(request)
  return { ...unaryCalls(pluginId, implemented, call), pluginId, implemented, deadline: () => HOOK_DEADLINE, client }
}
