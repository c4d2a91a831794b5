/** What plugins may call on this backend. Everything else answers "not implemented". */
import { Effect, Ref } from "effect"
import { MattermostPlugins, PluginApiError } from "effect-plugin-supervisor"
import { CHANNEL_ID, Comments } from "./Comments.ts"

export const layer = MattermostPlugins.layerApiEffect(
  Effect.gen(function* () {
    const comments = yield* Comments
    // Each plugin has keys of its own: the host says which plugin calls, whatever the plugin says.
    const values = yield* Ref.make<ReadonlyMap<string, Uint8Array>>(new Map())
    const name = (pluginId: string, key: string) => JSON.stringify([pluginId, key])

    return {
      getServerVersion: () => Effect.succeed({ version: "1.0.0" }),

      kVGet: ({ key }, { pluginId }) =>
        Effect.map(Ref.get(values), (all) => ({ value: all.get(name(pluginId, key)) ?? new Uint8Array() })),

      kVCompareAndSet: ({ key, newValue, oldValue }, { pluginId }) =>
        Ref.modify(values, (all) => {
          const current = all.get(name(pluginId, key)) ?? new Uint8Array()
          const success = Buffer.compare(current, oldValue) === 0
          return [{ success }, success ? new Map(all).set(name(pluginId, key), newValue) : all]
        }),

      createPost: ({ post }) =>
        post?.channelId === CHANNEL_ID
          ? comments.add(post.message, post.userId, post.rootId).pipe(
              Effect.map((post) => ({ post })),
              Effect.mapError(
                (error) => new PluginApiError({ id: "comments.rejected", message: error.message, statusCode: 400 }),
              ),
            )
          : Effect.fail(
              new PluginApiError({ id: "comments.no_channel", message: "There is no such channel", statusCode: 404 }),
            ),
    }
  }),
)
