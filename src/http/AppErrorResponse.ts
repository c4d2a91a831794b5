import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { ByteSize, Cause, Context, Effect, Option, type Schema } from "effect"
import { HttpServerError, HttpServerRequest, HttpServerResponse } from "effect/http"
import type { HttpApiError } from "effect/http-api"
import { internalError, PluginApiError } from "../api/PluginApi.ts"
import type { HookRejectedError } from "../hooks/HookRejectedError.ts"
import { errorStatus } from "../rpc/ErrorStatus.ts"
import { rejected } from "../workspace/HookRejection.ts"
import { invalid, notFound } from "../workspace/WorkspaceError.ts"
import { errorResponse, MAX_TEXT } from "./Refusal.ts"

/** The id of the request being answered; it is in its errors, and hooks get it. */
export class RequestId extends Context.Service<RequestId, string>()("effect-plugin-supervisor/http/RequestId") {}

/** The largest JSON body: a post of the greatest length, in an alphabet of long letters, with ample properties. */
export const MAX_JSON_BODY = ByteSize.mebibytes(1)

/** What a REST handler may fail with. */
export type RestError =
  | PluginApiError
  | HookRejectedError
  | HttpServerError.HttpServerError
  | HttpApiError.HttpApiSchemaError
  | Schema.SchemaError

const INVALID_BODY = "api.context.invalid_body_param.app_error"

const isWellFormed = (path: string): boolean => {
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}

/** A failure as an error of the API; `None` for one that nobody has foreseen. */
const appError = (error: unknown, { method, path }: Asked): Option.Option<PluginApiError> => {
  switch ((error as { readonly _tag?: unknown } | null)?._tag as RestError["_tag"] | undefined) {
    case "PluginApiError":
      return Option.some(error as PluginApiError)
    case "HookRejectedError":
      return Option.some(rejected(error as HookRejectedError))
    case "SchemaError":
      return Option.some(
        invalid(INVALID_BODY, `The request is not as it should be: ${(error as Schema.SchemaError).message}`),
      )
    case "HttpApiSchemaError": {
      const { cause, kind } = error as HttpApiError.HttpApiSchemaError
      // What is answered and does not fit is the host's own mistake.
      return kind === "Body" || kind === "ResponseHeaders"
        ? Option.none()
        : Option.some(
            invalid(
              kind === "Payload" ? INVALID_BODY : "api.context.invalid_url_param.app_error",
              `The request is not as it should be: ${cause.message}`,
            ),
          )
    }
    case "HttpServerError": {
      const { reason } = error as HttpServerError.HttpServerError
      if (reason._tag === "RouteNotFound") {
        // The router's own words, for a part that it does not read.
        if (reason.description !== undefined) {
          return Option.some(
            new PluginApiError({
              id: "api.context.404.app_error",
              message: "There is no such route: a part of the path is longer than any id",
              statusCode: 404,
            }),
          )
        }
        return Option.some(
          isWellFormed(reason.request.url.split("?")[0]!)
            ? notFound("api.context.404.app_error", `route ${method} ${path}`)
            : invalid("api.context.invalid_url_param.app_error", "The path has a % that is no escape"),
        )
      }
      if (reason._tag !== "RequestParseError") return Option.none()
      return Option.some(
        reason.reason === "BodyTooLarge"
          ? new PluginApiError({
              id: "api.context.request_body_too_large.app_error",
              message: `The request's body is larger than ${MAX_JSON_BODY} bytes`,
              statusCode: 413,
            })
          : invalid(INVALID_BODY, "The request's body is not JSON"),
      )
    }
    case undefined:
      return Option.none()
  }
}

/** What was asked for, without what may hold a secret. */
interface Asked {
  readonly method: string
  readonly path: string
}

const asked = Effect.map(HttpServerRequest.HttpServerRequest, (request) => ({
  request,
  method: request.method,
  path: request.url.split("?")[0]!.slice(0, MAX_TEXT),
}))

/**
 * Answers whatever a handler fails with, in Mattermost's form and with the request's id: the one place where errors,
 * and defects, become answers. Those of the host's own making (500 and above) are logged. Only interruption stays
 * what it is: nobody waits for an answer.
 */
export const answered = <E, R>(
  handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
): Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  // Nothing else is left, whatever it is; the router's types want the rest to be named.
  Exclude<E, RestError>,
  R | RequestId | HttpServerRequest.HttpServerRequest
> =>
  Effect.catchCause(
    handler,
    Effect.fnUntraced(function* (cause) {
      // So Effect's own helpers answer, and so it tells that the client has gone.
      const isAnswer = cause.reasons.some(
        (reason) => reason._tag === "Die" && HttpServerResponse.isHttpServerResponse(reason.defect),
      )
      if (isAnswer || Cause.hasInterruptsOnly(cause)) return yield* Effect.failCause(cause as Cause.Cause<never>)
      const { request, ...what } = yield* asked
      const foreseen = Cause.hasDies(cause)
        ? Option.none()
        : Option.flatMap(Cause.findErrorOption(cause), (error) => appError(error, what))
      const error = Option.getOrElse(foreseen, () => internalError(what.path))
      if (errorStatus(error.statusCode) >= 500) {
        yield* Effect.logError(
          `${what.method} ${what.path}: ${error.message}`,
          ...(Option.isSome(foreseen) ? [] : [cause]),
        )
      }
      const outgoing = NodeHttpServerRequest.toServerResponse(request)
      // Half of an answer can't become another one; it must not look complete.
      if (outgoing.headersSent) outgoing.destroy()
      return errorResponse(error, yield* RequestId)
    }),
  )
