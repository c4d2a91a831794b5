import { create } from "@bufbuild/protobuf"
import { Context, Effect, Option, Result, type Scope, Tracer } from "effect"
import { type AnyContract, type HookSpec } from "../contract/Contract.ts"
import { changes } from "../contract/Decision.ts"
import type { AskingHook, Decided, DecidingHook, HookMethod, Notification, UnaryHook } from "../contract/HookNames.ts"
import type { RequestInit, Response } from "../rpc/RpcMethod.ts"
import { type ActivePlugins, notActive } from "./ActivePlugins.ts"
import type { HookError } from "./HookError.ts"
import { type AnyHooksOptions, type HooksOptions, policyOf } from "./HookPolicy.ts"
import { HookRejectedError } from "./HookRejectedError.ts"
import type { HookClient } from "./Hooks.ts"
import * as NotificationQueue from "./NotificationQueue.ts"

/** One plugin's answer in {@link HookDispatcher.collect}. */
export interface Collected<C extends AnyContract, K extends UnaryHook<C>> {
  readonly pluginId: string
  readonly response: Response<HookMethod<C, K>>
}

/**
 * Calls the hooks of all active plugins of a host by Mattermost's multi-plugin rules: one plugin after the other in the order
 * of their ids, so that the outcome of a chain does not depend on which started first. A plugin that keeps not answering is
 * not asked for a while (`CircuitBreaker`). Nothing of a plugin's failure is lost: it is logged, and counted.
 */
export interface HookDispatcher<C extends AnyContract> {
  /**
   * Says that a plugin has these policies, whether it is registered or not, while the Scope is open: what it has to
   * agree to (`onFailure: "refuse"`) is refused before it is active, and after it has died.
   */
  readonly require: (pluginId: string, options: HooksOptions<C>) => Effect.Effect<void, never, Scope.Scope>
  /**
   * Asks every plugin that implements a hook that decides, each about what the one before it made of the matter; the
   * first refusal stops. Answers the request as it is in the end: `post` of `messageWillBePosted`, say, is the post to
   * store. A plugin that fails is passed over, unless its policy says `refuse`.
   */
  readonly decide: <K extends DecidingHook<C>, R extends RequestInit<HookMethod<C, K>>>(
    hook: K,
    request: R & RequestInit<HookMethod<C, K>>,
  ) => Effect.Effect<Decided<C, K, R>, HookRejectedError>
  /**
   * Tells every plugin that implements the hook, in the background: it delays nobody. Each plugin hears of events one
   * after the other, in the order in which this was called.
   */
  readonly notify: <K extends Notification<C>>(hook: K, request: RequestInit<HookMethod<C, K>>) => Effect.Effect<void>
  /** Asks every plugin that implements the hook, and answers what those say that do not fail, in their order. */
  readonly collect: <K extends AskingHook<C>>(
    hook: K,
    request: RequestInit<HookMethod<C, K>>,
  ) => Effect.Effect<ReadonlyArray<Collected<C, K>>>
  /**
   * Asks one plugin, for hooks that are meant for a single one, such as `executeCommand`. `None` when that plugin is
   * not active or does not implement the hook. What fails is logged as well.
   */
  readonly call: <K extends UnaryHook<C>>(
    pluginId: string,
    hook: K,
    request: RequestInit<HookMethod<C, K>>,
  ) => Effect.Effect<Option.Option<Response<HookMethod<C, K>>>, HookError>
}

/** The dispatcher of a host's active plugins. */
export const make = <C extends AnyContract>(contract: C, active: ActivePlugins): HookDispatcher<C> => {
  const required = new Set<Requirement>()
  const implementing = (hook: string) => active.all().filter(({ hooks }) => hooks.implemented.has(hook))
  /** A plugin that would have to be asked and is not there. */
  const absent = (pluginId: string, options: AnyHooksOptions): Asked => ({
    pluginId,
    hooks: { policy: (hook) => policyOf(contract, hook, options) },
    ask: (hook) => notActive(contract, pluginId, hook),
  })
  /** Whom to ask, in their order: whoever implements the hook, and who has to agree and is not there. */
  const asked = (hook: string): ReadonlyArray<Asked> => {
    const missing = new Map<string, Asked>()
    for (const { hooks, options, pluginId } of required) {
      if (hooks.has(hook) && Option.isNone(active.find(pluginId))) missing.set(pluginId, absent(pluginId, options))
    }
    const there = implementing(hook)
    return missing.size === 0 ? there : [...there, ...missing.values()].sort(byId)
  }

  // What the types say of a hook's messages can't be said inside: each is handed on as it is.
  const dispatcher: UntypedDispatcher = {
    require: (pluginId, options) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const mustAgree = (hook: string) => policyOf(contract, hook, options).mustAgree
          const hooks = new Set(Object.keys(options.policies ?? {}).filter(mustAgree))
          const requirement = { pluginId, options, hooks }
          if (hooks.size > 0) required.add(requirement)
          return requirement
        }),
        (requirement) => Effect.sync(() => void required.delete(requirement)),
      ),

    decide: (hook, request) =>
      Effect.suspend(() => {
        const spec = contract.unary.get(hook)!
        const plugins = asked(hook)
        const from = (index: number, current: object): Effect.Effect<object, HookRejectedError> => {
          const plugin = plugins[index]
          if (plugin === undefined) return Effect.succeed(current)
          return Effect.matchEffect(plugin.ask(hook, current), {
            onSuccess: (answer) => {
              const refusal = refusalIn(spec, answer)
              if (refusal !== undefined) return reject(plugin, spec, refusal)
              return from(index + 1, { ...current, ...changes(spec.decision!, spec.method, current, answer) })
            },
            onFailure: (error) =>
              Effect.flatMap(passOver(contract, plugin, hook, spec, error), () => from(index + 1, current)),
          })
        }
        return from(0, create(spec.method.input, request as never))
      }),

    notify: (hook, request) =>
      Effect.contextWith((context) => {
        const plugins = active.listening(hook)
        if (plugins.length === 0) return Effect.void
        const span = Option.getOrUndefined(Context.getOption(context, Tracer.ParentSpan))
        const event = NotificationQueue.event(contract, hook, request, span)
        return Effect.forEach(plugins, ({ tell }) => tell(event), { discard: true })
      }),

    collect: Effect.fnUntraced(function* (hook, request) {
      const answers: Array<{ readonly pluginId: string; readonly response: object }> = []
      for (const { ask, pluginId } of implementing(hook)) {
        const answer = yield* Effect.result(ask(hook, request))
        if (Result.isFailure(answer)) yield* logFailure(pluginId, answer.failure)
        else answers.push({ pluginId, response: answer.success })
      }
      return answers
    }),

    call: Effect.fnUntraced(function* (pluginId, hook, request) {
      const plugin = Option.getOrUndefined(active.find(pluginId))
      if (plugin === undefined || !plugin.hooks.implemented.has(hook)) return Option.none()
      return Option.some(yield* Effect.tapError(plugin.ask(hook, request), (error) => logFailure(pluginId, error)))
    }),
  }
  return dispatcher as unknown as HookDispatcher<C>
}

interface UntypedDispatcher {
  readonly require: (pluginId: string, options: AnyHooksOptions) => Effect.Effect<unknown, never, Scope.Scope>
  readonly decide: (hook: string, request: object) => Effect.Effect<object, HookRejectedError>
  readonly notify: (hook: string, request: object) => Effect.Effect<void>
  readonly collect: (hook: string, request: object) => Effect.Effect<ReadonlyArray<object>>
  readonly call: (pluginId: string, hook: string, request: object) => Effect.Effect<Option.Option<object>, HookError>
}

const logError = (pluginId: string, { message }: HookError) =>
  Effect.annotateLogs(Effect.logError(message), { plugin_id: pluginId })

/** That a plugin lacks a hook, which it could not say beforehand, is no failure. */
const logFailure = (pluginId: string, error: HookError) =>
  error._tag === "HookNotImplementedError" ? Effect.void : logError(pluginId, error)

/** A plugin that has to agree, in these hooks. */
interface Requirement {
  readonly pluginId: string
  readonly options: AnyHooksOptions
  readonly hooks: ReadonlySet<string>
}

/** A plugin to ask. */
interface Asked {
  readonly pluginId: string
  readonly hooks: Pick<HookClient, "policy">
  readonly ask: (hook: string, request: object) => Effect.Effect<object, HookError>
}

const byId = (a: Asked, b: Asked) => (a.pluginId < b.pluginId ? -1 : 1)

/** The text with which a response refuses. */
const refusalIn = ({ decision }: HookSpec, response: object): string | undefined => {
  const field = decision?.refusal
  if (field === undefined || field === false) return undefined
  return (response as { readonly [field: string]: string | undefined })[field] || undefined
}

const reject = ({ pluginId }: Asked, { decision, name }: HookSpec, reason: string, isFailure = false) =>
  Effect.fail(new HookRejectedError({ pluginId, hook: name, subject: decision?.subject ?? name, reason, isFailure }))

/** Passes a plugin over that has failed, unless that refuses. */
const passOver = (
  { errors }: AnyContract,
  plugin: Asked,
  hook: string,
  spec: HookSpec,
  error: HookError,
): Effect.Effect<void, HookRejectedError> => {
  const { mustAgree, onFailure } = plugin.hooks.policy(hook)
  // Said by a plugin that could not be asked what it implements. That is no agreement where one is needed.
  if (error._tag === "HookNotImplementedError" && !mustAgree) return Effect.void
  // An error that the plugin answers may be its word, where the hook has no other for a refusal.
  if (error._tag === "HookPluginError" && error.isAnswer) {
    const { id, reason: message, statusCode } = error
    if (errors?.isRefusal({ id, message, statusCode })) return reject(plugin, spec, message)
  }
  return Effect.andThen(
    logError(plugin.pluginId, error),
    onFailure === "allow" ? Effect.void : reject(plugin, spec, "the plugin that has to agree could not be asked", true),
  )
}
