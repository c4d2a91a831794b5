import { Effect, Schema } from "effect"
import { HttpServerRequest } from "effect/http"
import { invalidRequest } from "../api/PluginApi.ts"
import { jsonProblem } from "../rpc/MessageCheck.ts"
import { MAX_JSON_BODY } from "./AppErrorResponse.ts"

/**
 * The request's body, of up to {@link MAX_JSON_BODY} bytes, decoded by `schema`. What could not be sent on to a
 * plugin is refused before that (`MessageCheck`): nothing behind this door meets JSON that is too deep, too large or
 * half a letter.
 */
export const jsonBody = <A, E>(schema: Schema.Codec<A, E>) => {
  const decode = Schema.decodeUnknownEffect(schema)
  return Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const json = yield* Effect.provideService(request.json, HttpServerRequest.MaxBodySize, MAX_JSON_BODY)
    const problem = jsonProblem(json)
    if (problem !== undefined) return yield* invalidRequest(problem)
    return yield* decode(json)
  })
}
