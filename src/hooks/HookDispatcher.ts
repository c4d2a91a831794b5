import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { Context, Effect, Layer, Option, Result, Schema, type Scope } from "effect"
import type { PluginContextSchema } from "../generated/mattermost/pluginapi/v1/hooks_common_pb.js"
import type { Request, RequestInit, Response } from "../rpc/RpcMethod.ts"
import { ActivePlugins, type AskError, notActive } from "./ActivePlugins.ts"
import type { HookError, HookSuspendedError } from "./HookError.ts"
import { deciding, type DecidingHook, type Notification } from "./HookKind.ts"
import { type HookMethods, hookMethods, hookName, type UnaryHook } from "./HookName.ts"
import { type HooksOptions, policyOf } from "./HookPolicy.ts"
import { type HookClient, type HookHandlers, testClient } from "./Hooks.ts"
import * as NotificationQueue from "./NotificationQueue.ts"

/** The reason with which a plugin drops a new post without telling the user (Mattermost's constant). */
export const DISMISS_POST_REASON = "plugin.message_will_be_posted.dismiss_post"

/** A plugin refused what it was asked about; or it could not be asked, and its operator wants that to be a refusal. */
export class HookRejectedError extends Schema.TaggedError<HookRejectedError>()("HookRejectedError", {
  pluginId: Schema.String,
  /** The hook's name, for example `MessageWillBePosted`. */
  hook: Schema.String,
  /** The plugin's words, meant for the user; {@link DISMISS_POST_REASON} asks for silence. */
  reason: Schema.String,
  /** Whether the plugin could not be asked (`HookPolicy.onFailure`). */
  isFailure: Schema.Boolean,
}) {
  override get message(): string {
    const subject = SUBJECTS[this.hook] ?? this.hook
    return `${subject} rejected by plugin. ${this.reason}`
  }

  /** The post is to be dropped silently. */
  get isDismissal(): boolean {
    return this.hook === "MessageWillBePosted" && this.reason === DISMISS_POST_REASON
  }
}

/** What is refused, in Mattermost's words. */
const SUBJECTS: { readonly [hook: string]: string } = {
  MessageWillBePosted: "Post",
  MessageWillBeUpdated: "Post",
  FileWillBeUploaded: "File",
  UserWillLogIn: "Login",
  ConfigurationWillBeSaved: "Configuration",
  MessagesWillBeConsumed: "Reading",
}

/** What plugins are told of the request behind an event: who asked, from where, with what. */
export type RequestContext = MessageInitShape<typeof PluginContextSchema>

/** A request as it is in the end. What it had in the beginning it still has. */
export type Decided<K extends DecidingHook, R> = Request<HookMethods[K]> & {
  readonly [F in keyof R & keyof Request<HookMethods[K]>]-?: NonNullable<Request<HookMethods[K]>[F]>
}

/** One plugin's answer in {@link HookDispatcher.collect}. */
export interface Collected<K extends UnaryHook> {
  readonly pluginId: string
  readonly response: Response<HookMethods[K]>
}

/**
 * Calls the hooks of all active plugins by Mattermost's multi-plugin rules: one plugin after the other in the order of
 * their ids, so that the outcome of a chain does not depend on which started first. A plugin that keeps not answering is
 * not asked for a while (`CircuitBreaker`). Nothing of a plugin's failure is lost: it is logged, and counted.
 */
export class HookDispatcher extends Context.Service<
  HookDispatcher,
  {
    /**
     * Says that a plugin has these policies, whether it is registered or not, while the Scope is open: what it has to
     * agree to (`onFailure: "refuse"`) is refused before it is active, and after it has died.
     */
    readonly require: (pluginId: string, options: HooksOptions) => Effect.Effect<void, never, Scope.Scope>
    /**
     * Asks every plugin that implements a hook that decides, each about what the one before it made of the matter; the
     * first refusal stops. Answers the request as it is in the end: `post` of `messageWillBePosted`, say, is the post to
     * store. A plugin that fails is passed over, unless its policy says `refuse`.
     */
    readonly decide: <K extends DecidingHook, R extends RequestInit<HookMethods[K]>>(
      hook: K,
      request: R & RequestInit<HookMethods[K]>,
    ) => Effect.Effect<Decided<K, R>, HookRejectedError>
    /**
     * Tells every plugin that implements the hook, in the background: it delays nobody. Each plugin hears of events one
     * after the other, in the order in which this was called.
     */
    readonly notify: <K extends Notification>(hook: K, request: RequestInit<HookMethods[K]>) => Effect.Effect<void>
    /** Asks every plugin that implements the hook, and answers what those say that do not fail, in their order. */
    readonly collect: <K extends Exclude<UnaryHook, DecidingHook | Notification>>(
      hook: K,
      request: RequestInit<HookMethods[K]>,
    ) => Effect.Effect<ReadonlyArray<Collected<K>>>
    /**
     * Asks one plugin, for hooks that are meant for a single one, such as `executeCommand`. `None` when that plugin is
     * not active or does not implement the hook. What fails is logged as well.
     */
    readonly call: <K extends UnaryHook>(
      pluginId: string,
      hook: K,
      request: RequestInit<HookMethods[K]>,
    ) => Effect.Effect<Option.Option<Response<HookMethods[K]>>, HookError | HookSuspendedError>
  }
>()("effect-plugin-supervisor/hooks/HookDispatcher") {
  static readonly layer: Layer.Layer<HookDispatcher | ActivePlugins> = Layer.effect(
    HookDispatcher,
    Effect.map(ActivePlugins, (active) => dispatcher(active)),
  ).pipe(Layer.provideMerge(ActivePlugins.layer))

  /**
   * For tests of a backend: one plugin called `mock` answers with `handlers` and implements exactly those hooks, without
   * a process or gRPC. Without handlers nobody has an opinion.
   */
  static readonly layerTest = (handlers: HookHandlers = {}): Layer.Layer<HookDispatcher | ActivePlugins> =>
    Layer.effectDiscard(
      Effect.flatMap(ActivePlugins, ({ register }) => register(testClient(undefined as never, "mock", handlers))),
    ).pipe(Layer.provideMerge(HookDispatcher.layer))
}

const dispatcher = (active: ActivePlugins["Service"]): HookDispatcher["Service"] => {
  const required = new Set<readonly [pluginId: string, options: HooksOptions]>()
  const implementing = (hook: UnaryHook) => active.all().filter(({ hooks }) => hooks.implemented.has(hook))
  /** Who has to agree and is not there. */
  const missing = (hook: UnaryHook): ReadonlyArray<Asked> => {
    const must = [...required].filter(([id, options]) => {
      return policyOf(hook, options).mustAgree && Option.isNone(active.find(id))
    })
    return [...new Map(must)].map(([id, options]) => absent(id, options))
  }

  return {
    require: (pluginId, options) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const requirement = [pluginId, options] as const
          required.add(requirement)
          return requirement
        }),
        (requirement) => Effect.sync(() => void required.delete(requirement)),
      ),

    // The mapped types don't unify over K: the request, the answers and what they do are those of this hook.
    decide: <K extends DecidingHook, R>(hook: K, request: R) =>
      Effect.suspend(() =>
        Effect.reduce(
          [...implementing(hook), ...missing(hook)].sort(byId),
          () => create(hookMethods[hook].input, request as any) as Decided<K, R>,
          Effect.fnUntraced(function* (current, plugin) {
            const answer: any = yield* askOrPassOver(plugin, hook, current)
            if (answer === undefined) return current
            if (answer.rejectionReason) return yield* reject(plugin, hook, answer.rejectionReason)
            return { ...current, ...deciding[hook](current as never, answer as never) }
          }),
        ),
      ),

    notify: Effect.fnUntraced(function* <K extends Notification>(hook: K, request: RequestInit<HookMethods[K]>) {
      const plugins = implementing(hook)
      if (plugins.length === 0) return
      const event = NotificationQueue.event(hook, request, yield* Effect.option(Effect.currentSpan))
      yield* Effect.forEach(plugins, ({ tell }) => tell(event), { discard: true })
    }),

    collect: Effect.fnUntraced(function* <K extends UnaryHook>(hook: K, request: RequestInit<HookMethods[K]>) {
      const answers: Array<Collected<K>> = []
      for (const { ask, pluginId } of implementing(hook)) {
        const answer = yield* Effect.result(ask(hook, request))
        if (Result.isFailure(answer)) yield* logFailure(pluginId, answer.failure)
        else answers.push({ pluginId, response: answer.success as Response<HookMethods[K]> })
      }
      return answers
    }),

    call: Effect.fnUntraced(function* <K extends UnaryHook>(
      pluginId: string,
      hook: K,
      request: RequestInit<HookMethods[K]>,
    ) {
      const plugin = Option.getOrUndefined(active.find(pluginId))
      if (plugin === undefined || !plugin.hooks.implemented.has(hook)) return Option.none()
      const answer = yield* Effect.tapError(plugin.ask(hook, request), (error) => logFailure(pluginId, error))
      return Option.some(answer as Response<HookMethods[K]>)
    }),
  }
}

const logFailure = (pluginId: string, { message }: AskError) =>
  Effect.annotateLogs(Effect.logError(message), { plugin_id: pluginId })

/** A plugin to ask. */
interface Asked {
  readonly pluginId: string
  readonly hooks: Pick<HookClient, "policy">
  readonly ask: (hook: UnaryHook, request: unknown) => Effect.Effect<unknown, AskError>
}

const byId = (a: Asked, b: Asked) => (a.pluginId < b.pluginId ? -1 : 1)

/** A plugin that would have to be asked and is not there. */
const absent = (pluginId: string, options: HooksOptions): Asked => ({
  pluginId,
  hooks: { policy: (hook) => policyOf(hook, options) },
  ask: (hook) => notActive(pluginId, hook),
})

const reject = ({ pluginId }: Asked, hook: UnaryHook, reason: string, isFailure = false) =>
  Effect.fail(new HookRejectedError({ pluginId, hook: hookName(hook), reason, isFailure }))

/** A plugin's answer; or nothing, if it failed and is to be passed over. */
const askOrPassOver = (
  plugin: Asked,
  hook: DecidingHook,
  request: unknown,
): Effect.Effect<unknown, HookRejectedError> =>
  Effect.catch(plugin.ask(hook, request), (error) => {
    const { mustAgree, onFailure } = plugin.hooks.policy(hook)
    // Said by a plugin that could not be asked what it implements. That is no agreement where one is needed.
    if (error._tag === "HookNotImplementedError" && !mustAgree) return Effect.undefined
    // An error that the plugin answers is its word, where the hook has no other for a refusal; but not one that says
    // that its handler has raised (the published SDK's ids).
    if (error._tag === "HookPluginError" && error.isAnswer && !error.id.endsWith(".error")) {
      return reject(plugin, hook, error.reason)
    }
    return Effect.andThen(
      logFailure(plugin.pluginId, error),
      onFailure === "allow"
        ? Effect.succeed(undefined)
        : reject(plugin, hook, "the plugin that has to agree could not be asked", true),
    )
  })
