import { Effect, Option } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { PluginApiError } from "../api/PluginApi.ts"
import { newId } from "../workspace/Id.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { AccessToken } from "./AccessToken.ts"
import { answered, RequestId, type RestError } from "./AppErrorResponse.ts"
import { bearerToken } from "./BearerToken.ts"

const unauthorized = new PluginApiError({
  id: "api.context.session_expired.app_error",
  message: "The request has no valid access token; send it as Authorization: Bearer <token>",
  statusCode: 401,
})

/**
 * Lets only requests through that carry the {@link AccessToken} as a bearer token; others get 401. Each request gets
 * an id ({@link RequestId}), which is in the `X-Request-Id` header of its answer, and what its handler fails with is
 * answered. A token in a cookie or in the URL does not count here: browsers send the one by themselves, and logs keep
 * the other.
 */
export const HttpAuthorization = HttpRouter.middleware<{ provides: RequestId; handles: RestError }>()(
  Effect.map(
    AccessToken,
    (token) => (handler) =>
      Effect.gen(function* () {
        const { headers } = yield* HttpServerRequest.HttpServerRequest
        const requestId = yield* newId
        const isAllowed = token.matches(bearerToken(headers["authorization"]))
        const response = yield* answered(isAllowed ? handler : Effect.fail(unauthorized)).pipe(
          Effect.provideService(RequestId, requestId),
        )
        const identified = HttpServerResponse.setHeader(response, "x-request-id", requestId)
        return isAllowed ? identified : HttpServerResponse.setHeader(identified, "www-authenticate", "Bearer")
      }),
  ),
)

/** Tells whose token a request to a plugin carries: the administrator's for the {@link AccessToken}, else nobody's. */
export const authenticator: Effect.Effect<
  (token: string) => Effect.Effect<Option.Option<string>>,
  never,
  AccessToken | Workspace
> = Effect.gen(function* () {
  const accessToken = yield* AccessToken
  const { system } = yield* Workspace
  return (token) => Effect.succeed(accessToken.matches(token) ? Option.some(system.admin_id) : Option.none())
})
