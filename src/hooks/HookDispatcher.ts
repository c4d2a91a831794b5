import type { MessageInitShape } from "@bufbuild/protobuf"
import { Context, Effect, Layer, Schema, type Scope } from "effect"
import type { PluginContextSchema } from "../generated/mattermost/pluginapi/v1/hooks_common_pb.js"
import type { Post } from "../generated/mattermost/pluginapi/v1/post_pb.js"
import type { RequestInit } from "../grpc/GrpcMethod.ts"
import type { HookError } from "./HookError.ts"
import type { HookMethods, UnaryHook } from "./HookName.ts"
import type { HookClient } from "./Hooks.ts"

/** The reason with which a plugin drops a new post without telling the user (Mattermost's constant). */
export const DISMISS_POST_REASON = "plugin.message_will_be_posted.dismiss_post"

/** A plugin refused a post. */
export class PostRejectedError extends Schema.TaggedError<PostRejectedError>()("PostRejectedError", {
  pluginId: Schema.String,
  /** The plugin's words, meant for the user; {@link DISMISS_POST_REASON} asks for silence. */
  reason: Schema.String,
}) {
  override get message(): string {
    return `Post rejected by plugin. ${this.reason}`
  }

  /** The post is to be dropped silently. */
  get isDismissal(): boolean {
    return this.reason === DISMISS_POST_REASON
  }
}

/** What plugins are told of the request behind an event: who asked, from where, with what. */
export type RequestContext = MessageInitShape<typeof PluginContextSchema>

/** Hooks that only tell: nothing is awaited from a plugin but that it has taken the event. */
export type Notification = Extract<UnaryHook, `${string}Ha${"s" | "ve"}${string}`> | "onConfigurationChange"

/**
 * Calls the hooks of all active plugins by Mattermost's multi-plugin rules: one plugin after the other in the order of
 * their ids, so that the outcome of a chain does not depend on which started first.
 */
export class HookDispatcher extends Context.Service<
  HookDispatcher,
  {
    /** Makes a plugin's hooks part of every dispatch while the Scope is open. */
    readonly register: (hooks: HookClient) => Effect.Effect<void, never, Scope.Scope>
    /**
     * Runs `MessageWillBePosted`: each plugin sees what the one before it made of the post; the first reason stops the
     * chain. A plugin that fails is logged and passed over, as in Mattermost.
     */
    readonly messageWillBePosted: (post: Post, context?: RequestContext) => Effect.Effect<Post, PostRejectedError>
    /** Runs `MessageWillBeUpdated` by the same rules. */
    readonly messageWillBeUpdated: (
      newPost: Post,
      oldPost: Post,
      context?: RequestContext,
    ) => Effect.Effect<Post, PostRejectedError>
    /** Tells every plugin that implements the hook, in the background; failures are logged. */
    readonly notify: <K extends Notification>(hook: K, request: RequestInit<HookMethods[K]>) => Effect.Effect<void>
  }
>()("effect-plugin-supervisor/hooks/HookDispatcher") {
  static readonly layer: Layer.Layer<HookDispatcher> = Layer.effect(
    HookDispatcher,
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      const registered = new Map<string, HookClient>()
      const implementing = (hook: UnaryHook) =>
        [...registered.values()]
          .filter((hooks) => hooks.implemented.has(hook))
          .sort((a, b) => (a.pluginId < b.pluginId ? -1 : 1))

      const passOver = (error: HookError) => Effect.as(Effect.logError(error.message), undefined)

      const chain = Effect.fnUntraced(function* (
        hook: UnaryHook,
        post: Post,
        ask: (hooks: HookClient, post: Post) => Effect.Effect<Verdict, HookError>,
      ) {
        let current = post
        for (const hooks of implementing(hook)) {
          const verdict = yield* Effect.catch(ask(hooks, current), passOver)
          if (verdict === undefined) continue
          if (verdict.rejectionReason !== "") {
            return yield* new PostRejectedError({ pluginId: hooks.pluginId, reason: verdict.rejectionReason })
          }
          current = verdict.modifiedPost ?? current
        }
        return current
      })

      return {
        register: (hooks) =>
          Effect.acquireRelease(
            Effect.sync(() => {
              registered.set(hooks.pluginId, hooks)
            }),
            () =>
              Effect.sync(() => {
                if (registered.get(hooks.pluginId) === hooks) registered.delete(hooks.pluginId)
              }),
          ),
        messageWillBePosted: (post, pluginContext = {}) =>
          chain("messageWillBePosted", post, (hooks, post) => hooks.messageWillBePosted({ pluginContext, post })),
        messageWillBeUpdated: (newPost, oldPost, pluginContext = {}) =>
          chain("messageWillBeUpdated", newPost, (hooks, newPost) =>
            hooks.messageWillBeUpdated({ pluginContext, newPost, oldPost }),
          ),
        notify: (hook, request) =>
          Effect.forEach(
            implementing(hook),
            (hooks) =>
              // The mapped type's calls don't unify over K; the request is the one of this hook's.
              (hooks[hook] as (request: unknown) => Effect.Effect<unknown, HookError>)(request).pipe(
                Effect.catch(passOver),
                Effect.forkIn(scope),
              ),
            { discard: true },
          ),
      }
    }),
  )

  /** For tests of a backend: no plugin has an opinion, but for what `overrides` says. */
  static readonly layerTest = (overrides: Partial<HookDispatcher["Service"]> = {}): Layer.Layer<HookDispatcher> =>
    Layer.succeed(HookDispatcher, {
      register: () => Effect.void,
      messageWillBePosted: (post) => Effect.succeed(post),
      messageWillBeUpdated: (post) => Effect.succeed(post),
      notify: () => Effect.void,
      ...overrides,
    })
}

interface Verdict {
  readonly modifiedPost?: Post | undefined
  readonly rejectionReason: string
}
