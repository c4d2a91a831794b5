/** The backend's own HTTP API. */
import { Effect, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Comments } from "./Comments.ts"

const NewComment = Schema.Struct({ text: Schema.NonEmptyString })

export const layer = HttpRouter.use((router) =>
  Effect.gen(function* () {
    const comments = yield* Comments
    yield* router.add(
      "POST",
      "/comments",
      Effect.gen(function* () {
        const { text } = yield* HttpServerRequest.schemaBodyJson(NewComment)
        const { id, message } = yield* comments.add(text, "somebody")
        return HttpServerResponse.jsonUnsafe({ id, text: message }, { status: 201 })
      }).pipe(
        Effect.catchTag("HookRejectedError", ({ reason }) =>
          Effect.succeed(HttpServerResponse.jsonUnsafe({ error: reason }, { status: 400 })),
        ),
        Effect.catchTag("SchemaError", () =>
          Effect.succeed(HttpServerResponse.jsonUnsafe({ error: "expected {text}" }, { status: 400 })),
        ),
      ),
    )
    yield* router.add(
      "GET",
      "/comments",
      Effect.map(comments.all, (all) =>
        HttpServerResponse.jsonUnsafe(all.map(({ id, message }) => ({ id, text: message }))),
      ),
    )
  }),
)
