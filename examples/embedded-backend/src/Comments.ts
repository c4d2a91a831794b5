/** The backend's own business: comments, which plugins may veto, change and react to. */
import { create } from "@bufbuild/protobuf"
import { Clock, Context, Effect, Layer, Ref } from "effect"
import { type HookRejectedError, MattermostPlugins } from "effect-plugin-supervisor"
import { type Post, PostSchema } from "effect-plugin-supervisor/contract/post"

/** Every comment is a post of this channel, as far as plugins are concerned. */
export const CHANNEL_ID = "comments"

export class Comments extends Context.Service<
  Comments,
  {
    /** Adds a comment, unless a plugin refuses it; what is stored is what the plugins made of it. */
    readonly add: (text: string, userId: string, rootId?: string) => Effect.Effect<Post, HookRejectedError>
    readonly all: Effect.Effect<ReadonlyArray<Post>>
  }
>()("embedded-backend/Comments") {
  static readonly layer = Layer.effect(
    Comments,
    Effect.gen(function* () {
      const plugins = yield* MattermostPlugins
      const comments = yield* Ref.make<ReadonlyArray<Post>>([])

      const add = Effect.fn("Comments.add")(function* (text: string, userId: string, rootId = "") {
        const createAt = BigInt(yield* Clock.currentTimeMillis)
        const id = crypto.randomUUID()
        const draft = create(PostSchema, { id, channelId: CHANNEL_ID, userId, rootId, message: text, createAt })
        const { post } = yield* plugins.decide("messageWillBePosted", { post: draft })
        yield* Ref.update(comments, (all) => [...all, post])
        yield* plugins.notify("messageHasBeenPosted", { post })
        return post
      })

      return { add, all: Ref.get(comments) }
    }),
  )
}
