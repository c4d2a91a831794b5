import { create, type DescMessage, type DescMethodUnary, type Message } from "@bufbuild/protobuf"
import { Cause, Context, Duration, Effect, Layer } from "effect"
import { allHooks, type AnyContract, hookName } from "../contract/Contract.ts"
import type { HookMethod, UnaryHook } from "../contract/HookNames.ts"
import type { RpcClient } from "../rpc/RpcClient.ts"
import { RpcError, statusCode } from "../rpc/RpcError.ts"
import type { Request, RequestInit, Response, ResponseInit } from "../rpc/RpcMethod.ts"
import { errorStatus } from "../rpc/ErrorStatus.ts"
import { decodeMessage, EncodedMessage } from "../rpc/WireCheck.ts"
import { describeProblem, INCOMING, messageProblem } from "../rpc/MessageCheck.ts"
import {
  HookDeadlineError,
  type HookError,
  HookNotImplementedError,
  HookPluginError,
  HookTransportError,
} from "./HookError.ts"
import { type AnyHooksOptions, type EffectivePolicy, policyOf } from "./HookPolicy.ts"
import * as InFlight from "./InFlight.ts"
import * as PluginCalls from "./PluginCalls.ts"
import type { PluginHttpServer } from "./PluginHttpServer.ts"

/** The client of one plugin's hooks, whatever their contract. Hooks are named in camelCase, as generated code has them. */
export interface HookClient {
  readonly contract: AnyContract
  readonly pluginId: string
  /** The hooks that the plugin implements; asked once. Of one that can't say, all but those that it has turned out to lack. */
  readonly implemented: ReadonlySet<string>
  /** Whether the plugin has said so itself; else it is only assumed. */
  readonly hasTold: boolean
  /** What the operator has set for a hook, or its default. */
  readonly policy: (hook: string) => EffectivePolicy
  /** Calls a unary hook with a message, with the fields of one, or with one that is encoded. */
  readonly call: (hook: string, request: object) => Effect.Effect<object, HookError>
  /** What every call passes. */
  readonly calls: PluginCalls.PluginCalls
  /** What the plugin is at work on: unary hooks are counted by themselves, requests by who sends them. */
  readonly inFlight: InFlight.InFlight
  /** The connection to the plugin. */
  readonly client: RpcClient
  /** Whether the plugin has said that it begins calls in the order in which they are made, whatever it is at work on. */
  readonly keepsOrder?: boolean | undefined
  /** Where the plugin serves HTTP itself; requests to others go by `ServeHTTP`. */
  readonly http?: PluginHttpServer | undefined
}

/** One call per unary hook of a contract, typed from it. */
export type UnaryHooks<C extends AnyContract> = {
  readonly [K in UnaryHook<C>]: (
    request: RequestInit<HookMethod<C, K>>,
  ) => Effect.Effect<Response<HookMethod<C, K>>, HookError>
}

/** A client's hooks as methods. */
export const unaryHooks = <C extends AnyContract>({ call, contract }: HookClient): UnaryHooks<C> =>
  Object.fromEntries(
    [...contract.unary.keys()].map((hook) => [hook, (request: object) => call(hook, request)]),
  ) as unknown as UnaryHooks<C>

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

/** Asks a plugin what it implements; undefined for one that can't say, which is taken to implement every hook. */
const implementedBy = Effect.fnUntraced(function* (
  contract: AnyContract,
  client: RpcClient,
  pluginId: string,
): Effect.fn.Return<ReadonlySet<string> | undefined, HookError> {
  const { implemented } = contract.lifecycle
  const answer = yield* client
    .unary(implemented, create(implemented.input), { deadline: IMPLEMENTED_DEADLINE })
    .pipe(
      Effect.catch((error) =>
        error.isUnimplemented
          ? Effect.undefined
          : Effect.fail(hookError(pluginId, implemented.name, IMPLEMENTED_DEADLINE, error)),
      ),
    )
  if (answer === undefined) return undefined
  const told = new Set((answer as unknown as { readonly hooks: ReadonlyArray<string> }).hooks)
  const known = allHooks(contract).filter((hook) => told.has(hookName(contract, hook)))
  const unknown = [...told].filter((name) => known.every((hook) => hookName(contract, hook) !== name))
  if (unknown.length > 0) {
    yield* Effect.logWarning(
      `plugin ${pluginId} implements hooks that this host does not know, and does not call: ${unknown.join(", ").slice(0, MAX_NAMES)}; it is made for another version of ${contract.hooks.typeName}`,
    )
  }
  return new Set(known)
})

/** Characters of hooks' names in a log line. */
const MAX_NAMES = 500

const connect = Effect.fn("Hooks.connect")(function* (
  contract: AnyContract,
  client: RpcClient,
  pluginId: string,
  options: AnyHooksOptions = {},
): Effect.fn.Return<HookClient, HookError> {
  const told = yield* implementedBy(contract, client, pluginId)
  const implemented = new Set(told ?? allHooks(contract))
  const limits = { ...INCOMING, json: contract.json }
  /** One that could not say what it implements turns out not to have a hook. */
  const absent = (hook: string, name: string) => {
    // Where its word is needed it is asked again, so that this is no agreement.
    if (!policyOf(contract, hook, options).mustAgree) implemented.delete(hook)
    return new HookNotImplementedError({ pluginId, hook: name })
  }
  const ask = (hook: string, request: object, deadline: Duration.Input): Effect.Effect<object, HookError> => {
    const { method } = contract.unary.get(hook)!
    const { name } = method
    return Effect.matchEffect(client.unary(method, request as never, { deadline }), {
      // Whoever has said that it implements the hook can't take it back: then its answer is missing.
      onFailure: (error) =>
        Effect.fail(
          error.isUnimplemented && told === undefined ? absent(hook, name) : hookError(pluginId, name, deadline, error),
        ),
      onSuccess: (response) => {
        const failure = failureIn(method, response)
        return failure === undefined ? Effect.succeed(response) : Effect.fail(failure)
      },
    })
  }
  /** What an answer is, where it is no answer: one that breaks a rule, or the plugin's error. */
  const failureIn = (method: DescMethodUnary, response: Message): HookPluginError | undefined => {
    const problem = messageProblem<DescMessage>(method.output, response, limits)
    if (problem !== undefined) {
      return new HookPluginError({
        pluginId,
        hook: method.name,
        id: "plugin.invalid_answer.error",
        reason: `in its answer ${describeProblem(problem)}`,
        statusCode: 500,
        isAnswer: false,
      })
    }
    const error = contract.errors?.ofHook(response)
    if (error === undefined) return undefined
    return new HookPluginError({
      pluginId,
      hook: method.name,
      id: error.id,
      reason: error.message || (error.detailedError ?? ""),
      statusCode: errorStatus(error.statusCode),
      isAnswer: true,
    })
  }
  return hookClient(contract, client, pluginId, implemented, told !== undefined, options, ask)
})

/** A client whose calls of hooks that the plugin implements are made by `ask`; the others fail at once. */
const hookClient = (
  contract: AnyContract,
  client: RpcClient,
  pluginId: string,
  implemented: ReadonlySet<string>,
  hasTold: boolean,
  options: AnyHooksOptions,
  ask: (hook: string, request: object, deadline: Duration.Input) => Effect.Effect<object, HookError>,
): HookClient => {
  const inFlight = InFlight.make()
  const name = (hook: string) => hookName(contract, hook)
  const policies = new Map<string, EffectivePolicy>()
  const policy = (hook: string): EffectivePolicy => {
    const known = policies.get(hook)
    if (known !== undefined) return known
    const made = policyOf(contract, hook, options)
    policies.set(hook, made)
    return made
  }
  const calls = PluginCalls.make(pluginId, policy, name)
  return {
    contract,
    pluginId,
    implemented,
    hasTold,
    policy,
    calls,
    inFlight,
    client,
    call: (hook, request) =>
      implemented.has(hook) && contract.unary.has(hook)
        ? calls.run(hook, (deadline) => ask(hook, request, deadline), inFlight)
        : Effect.fail(new HookNotImplementedError({ pluginId, hook: name(hook) })),
  }
}

/** The hook RPC layer: makes the client of a plugin that has been connected to. */
export class Hooks extends Context.Service<
  Hooks,
  {
    /**
     * Asks the plugin what it implements (once) and answers its hooks. A plugin without the `Implemented` rpc is taken
     * to implement every hook; names this host does not know are logged, and ignored.
     */
    readonly connect: (
      contract: AnyContract,
      client: RpcClient,
      pluginId: string,
      options?: AnyHooksOptions,
    ) => Effect.Effect<HookClient, HookError>
  }
>()("effect-plugin-supervisor/hooks/Hooks") {
  static readonly layer: Layer.Layer<Hooks> = Layer.succeed(Hooks, { connect })

  /** For tests: every plugin answers with `handlers` and implements exactly those hooks, without a process or a connection. */
  static readonly layerTest = (handlers: AnyHookHandlers): Layer.Layer<Hooks> =>
    Layer.succeed(Hooks, {
      connect: (contract, client, pluginId) => Effect.sync(() => testClient(contract, client, pluginId, handlers)),
    })
}

/** Hooks of any contract, for tests. */
export type AnyHookHandlers = {
  readonly [hook: string]: ((request: never) => Effect.Effect<object, HookError>) | undefined
}

/** Hooks by camelCase name, for tests: each is handed a request and answers a response, or the fields of one. */
export type HookHandlers<C extends AnyContract> = {
  readonly [K in UnaryHook<C>]?: (
    request: Request<HookMethod<C, K>>,
  ) => Effect.Effect<ResponseInit<HookMethod<C, K>>, HookError>
}

/**
 * A client that answers from `handlers`; see {@link Hooks.layerTest}. As a plugin does, a handler has until the hook's deadline,
 * and one that dies has failed, whoever calls it.
 */
export const testClient = (
  contract: AnyContract,
  client: RpcClient,
  pluginId: string,
  handlers: AnyHookHandlers,
  options: AnyHooksOptions = {},
): HookClient =>
  hookClient(contract, client, pluginId, new Set(Object.keys(handlers)), true, options, (hook, request, deadline) => {
    const { input, name, output } = contract.unary.get(hook)!.method
    const failed = (code: number, details: string) =>
      Effect.fail(hookError(pluginId, name, deadline, new RpcError({ method: name, code, details })))
    const message =
      request instanceof EncodedMessage ? decodeMessage(input, request.bytes) : create(input, request as never)
    return Effect.suspend(() => handlers[hook]!(message as never)).pipe(
      Effect.map((response) => create(output, response as never)),
      Effect.catchDefect((defect) =>
        Effect.andThen(
          Effect.logError(`plugin ${pluginId}: the handler of ${name} has died`, Cause.die(defect)),
          failed(statusCode.UNKNOWN, String(defect)),
        ),
      ),
      Effect.timeoutOrElse({ duration: deadline, orElse: () => failed(statusCode.DEADLINE_EXCEEDED, "") }),
    )
  })
