import { ByteSize, Context, Effect, type Schema } from "effect"
import { HttpServerRequest, HttpServerResponse, type HttpServerError } from "effect/http"
import { PluginApiError } from "../api/PluginApi.ts"
import { HookRejectedError } from "../hooks/HookDispatcher.ts"
import { rejected } from "../workspace/HookRejection.ts"

/** The id of the request being answered; it is in its errors, and hooks get it. */
export class RequestId extends Context.Service<RequestId, string>()("effect-plugin-supervisor/http/RequestId") {}

/** The largest JSON body: a post of the greatest length, in an alphabet of long letters, with ample properties. */
export const MAX_JSON_BODY = ByteSize.mebibytes(1)

/** What a REST handler may fail with. */
export type RestError = PluginApiError | HookRejectedError | HttpServerError.HttpServerError | Schema.SchemaError

/** An error as Mattermost's clients read it. */
export const appErrorResponse = (error: PluginApiError, requestId: string): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(
    {
      id: error.id,
      message: error.message,
      detailed_error: error.detailedError ?? "",
      request_id: requestId,
      status_code: error.statusCode,
    },
    { status: error.statusCode },
  )

const appError = (error: RestError): PluginApiError => {
  switch (error._tag) {
    case "PluginApiError":
      return error
    case "HookRejectedError":
      return rejected(error)
    case "SchemaError":
      return new PluginApiError({
        id: "api.context.invalid_body_param.app_error",
        message: `The request is not as it should be: ${error.message}`,
        statusCode: 400,
      })
    case "HttpServerError":
      return error.reason._tag === "RequestParseError" && error.reason.reason === "BodyTooLarge"
        ? new PluginApiError({
            id: "api.context.request_body_too_large.app_error",
            message: `The request's body is larger than ${MAX_JSON_BODY} bytes`,
            statusCode: 413,
          })
        : new PluginApiError({
            id: "api.context.invalid_body_param.app_error",
            message: "The request's body is not JSON",
            statusCode: 400,
          })
  }
}

/** Answers the JSON of a handler, or its error; reads no body larger than {@link MAX_JSON_BODY}. */
export const respond = <R>(
  handler: Effect.Effect<HttpServerResponse.HttpServerResponse, RestError, R>,
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R | RequestId> =>
  handler.pipe(
    Effect.provideService(HttpServerRequest.MaxBodySize, MAX_JSON_BODY),
    Effect.catch((error) => Effect.map(RequestId, (requestId) => appErrorResponse(appError(error), requestId))),
  )
