import { Effect } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { newId } from "../workspace/Id.ts"
import { answered, RequestId } from "./AppErrorResponse.ts"

/**
 * For every route of a router, and for what is none: what they fail with is answered (`answered`) and never just an
 * empty 500 or 404.
 */
export const HttpFailures = HttpRouter.middleware(
  (handler) =>
    Effect.gen(function* () {
      const requestId = yield* newId
      let failed = false
      const response = yield* answered(Effect.tapCause(handler, () => Effect.sync(() => (failed = true)))).pipe(
        Effect.provideService(RequestId, requestId),
      )
      return failed ? HttpServerResponse.setHeader(response, "x-request-id", requestId) : response
    }),
  { global: true },
)
