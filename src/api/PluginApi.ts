import type { DescMethod } from "@bufbuild/protobuf"
import { Context, Effect, Layer, Schema } from "effect"
import { PluginAPI } from "../generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import type { Request, ResponseInit } from "../rpc/RpcMethod.ts"
import { describeProblem, type MessageProblem } from "../rpc/MessageCheck.ts"

/** Which plugin calls the host API; established by the socket the call came in on, never by what the plugin says. */
export interface PluginCaller {
  readonly pluginId: string
  /** Absolute path of the plugin's bundle. */
  readonly bundlePath: string
}

/**
 * A business error of the host API, as Mattermost's AppError. It travels inside the response where the response has an
 * `error` field, otherwise as the gRPC status that stands for its HTTP status.
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

type Methods = (typeof PluginAPI)["method"]

type Method<M extends DescMethod> = (
  request: Request<M>,
  caller: PluginCaller,
) => Effect.Effect<ResponseInit<M>, PluginApiError>

/** All methods of the host API, by rpc name in camelCase, typed from the contract. */
export type PluginApiMethods = { readonly [K in keyof Methods]: Method<Methods[K]> }

/** The answer to a method that a backend does not have. */
export const notImplemented = (method: string): PluginApiError =>
  new PluginApiError({
    id: "api.plugin.not_implemented",
    message: `The host does not implement ${method}`,
    statusCode: 501,
    where: method,
  })

/** The methods a backend has, completed with a "not implemented" error (501) for each it does not have. */
export const complete = (methods: Partial<PluginApiMethods>): PluginApiMethods =>
  Object.fromEntries(
    PluginAPI.methods.map((method) => [
      method.localName,
      (methods as Record<string, unknown>)[method.localName] ?? (() => Effect.fail(notImplemented(method.name))),
    ]),
  ) as unknown as PluginApiMethods

/**
 * The host API: what plugins call on the backend. A backend implements the methods it wants to offer and provides them
 * with {@link PluginApi.layer}; everything else answers "not implemented".
 */
export class PluginApi extends Context.Service<PluginApi, PluginApiMethods>()(
  "effect-plugin-supervisor/api/PluginApi",
) {
  /** Offers `methods`. */
  static readonly layer = (methods: Partial<PluginApiMethods>): Layer.Layer<PluginApi> =>
    Layer.succeed(PluginApi, complete(methods))

  /** Offers the methods an effect builds, for implementations that need services of their own. */
  static readonly layerEffect = <E, R>(
    methods: Effect.Effect<Partial<PluginApiMethods>, E, R>,
  ): Layer.Layer<PluginApi, E, R> => Layer.effect(PluginApi, Effect.map(methods, complete))
}
