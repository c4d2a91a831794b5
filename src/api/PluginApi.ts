import type { DescMethod } from "@bufbuild/protobuf"
import { Effect, Schema } from "effect"
import type { Manifest } from "../bundle/Manifest.ts"
import type { AnyContract } from "../contract/Contract.ts"
import type { Request, ResponseInit } from "../rpc/RpcMethod.ts"
import { describeProblem, type MessageProblem } from "../rpc/MessageCheck.ts"

/** Which plugin calls the host API; established by the socket the call came in on, never by what the plugin says. */
export interface PluginCaller {
  readonly pluginId: string
  /** Absolute path of the plugin's bundle. */
  readonly bundlePath: string
  /** As it was when the plugin was started. */
  readonly manifest: Manifest
}

/**
 * A business error of the host API. It travels inside the response where the contract says how (as Mattermost's AppError),
 * otherwise as the gRPC status that stands for its HTTP status.
 */
export class PluginApiError extends Schema.TaggedError<PluginApiError>()("PluginApiError", {
  /** A stable name, for example `app.user.missing_account.const`; plugins branch on it. Never empty. */
  id: Schema.NonEmptyString,
  /** What happened, for people. */
  message: Schema.String,
  /** HTTP status, 400–599; anything else is answered as 500 (`errorStatus`). */
  statusCode: Schema.Int,
  /** The operation that failed. */
  where: Schema.optional(Schema.String),
  /** More for a developer; must not hold secrets. */
  detailedError: Schema.optional(Schema.String),
}) {}

/** A request that breaks a rule whatever it is for (400): `problem` says where and what. */
export const invalidRequest = (problem: MessageProblem): PluginApiError =>
  new PluginApiError({
    id: "api.context.invalid_body_param.app_error",
    message: `The request is not as it should be: ${describeProblem(problem)}`,
    statusCode: 400,
  })

/** What a caller is told of a failure that nobody has foreseen (500); what it was is for the log. */
export const internalError = (where: string): PluginApiError =>
  new PluginApiError({
    id: "app.host.internal.app_error",
    message: "The host failed; see its log",
    statusCode: 500,
    where,
  })

/** A method of the host API: it is handed the request, and who calls. */
export type ApiMethod<M extends DescMethod, R = never> = (
  request: Request<M>,
  caller: PluginCaller,
) => Effect.Effect<ResponseInit<M>, PluginApiError, R>

/** All methods of a contract's host API, by rpc name in camelCase. */
export type ApiMethods<C extends AnyContract> = {
  readonly [K in keyof C["api"]["method"]]: ApiMethod<C["api"]["method"][K]>
}

/** What a backend offers of a contract's host API; its methods may need services. */
export type ApiHandlers<C extends AnyContract> = {
  readonly [K in keyof C["api"]["method"]]?: ApiMethod<C["api"]["method"][K], unknown> | undefined
}

/** The services that handlers need. */
export type NeedsOf<M> = {
  [K in keyof M]-?: NonNullable<M[K]> extends (...args: never) => Effect.Effect<unknown, unknown, infer R> ? R : never
}[keyof M]

/** Names that a contract's host API does not have can't be given. */
export type NoOthers<C extends AnyContract, M> = {
  readonly [K in Exclude<keyof M, keyof C["api"]["method"]>]: never
}

/** A method at run time, whatever its contract. */
export type AnyApiMethod = (request: never, caller: PluginCaller) => Effect.Effect<object, PluginApiError>

/** The methods that a backend has of a host API, at run time. */
export interface AnyApiMethods {
  readonly [method: string]: AnyApiMethod
}

/**
 * The answer to a method that a backend does not have, and why it has not. By its `id` plugins tell such a method from one
 * that the host's contract does not have.
 */
export const notImplemented = (method: string, why: string): PluginApiError =>
  new PluginApiError({
    id: "api.plugin.not_implemented",
    message: `The host does not implement ${method}: ${why}`,
    statusCode: 501,
    where: method,
  })

const leftOut = new WeakSet<AnyApiMethod>()

/** Whether a backend has left this method out. */
export const isLeftOut = (method: AnyApiMethod): boolean => leftOut.has(method)

const absent = (method: string): AnyApiMethod => {
  const answer = () => Effect.fail(notImplemented(method, "its backend leaves it out"))
  leftOut.add(answer)
  return answer
}

/** A host's methods, completed with a "not implemented" error (501) for each that the backend does not have. */
export const complete = <C extends AnyContract>({ api }: C, methods: ApiHandlers<C>): ApiMethods<C> =>
  Object.fromEntries(
    api.methods.map((method) => [
      method.localName,
      (methods as unknown as AnyApiMethods)[method.localName] ?? absent(method.name),
    ]),
  ) as unknown as ApiMethods<C>
