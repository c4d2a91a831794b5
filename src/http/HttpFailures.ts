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
    // Only what fails gets an id here.
    Effect.catchCause(handler, (cause) =>
      Effect.flatMap(newId, (requestId) =>
        answered(Effect.failCause(cause)).pipe(
          Effect.provideService(RequestId, requestId),
          Effect.map(HttpServerResponse.setHeader("x-request-id", requestId)),
        ),
      ),
    ),
  { global: true },
)
