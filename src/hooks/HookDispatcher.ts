import { clone, create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf"
import {
  type Cause,
  Context,
  Duration,
  Effect,
  Fiber,
  Latch,
  Layer,
  Option,
  Queue,
  Result,
  Schema,
  type Scope,
  type Tracer,
} from "effect"
import type { PluginContextSchema } from "../generated/mattermost/pluginapi/v1/hooks_common_pb.js"
import type { Request, RequestInit, Response } from "../grpc/GrpcMethod.ts"
import * as CircuitBreaker from "./CircuitBreaker.ts"
import { type HookError, type HookSuspendedError, HookTransportError } from "./HookError.ts"
import { deciding, type DecidingHook, type Notification } from "./HookKind.ts"
import { countLost, countSuspended, measured } from "./HookMetrics.ts"
import { type HookMethods, hookMethods, hookName, type UnaryHook } from "./HookName.ts"
import { type HooksOptions, policyOf } from "./HookPolicy.ts"
import { type HookClient, type HookHandlers, testClient } from "./Hooks.ts"

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

/** Events that wait for one plugin. More are dropped: a plugin that is so far behind will not catch up. */
const NOTIFICATION_QUEUE = 1000

/** How long a plugin that is deactivated gets for what still waits for it. */
const DRAIN_LIMIT = Duration.seconds(5)

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
     * Makes a plugin's hooks part of every dispatch while the Scope is open. When it closes, events that still wait for
     * the plugin are delivered, within five seconds.
     */
    readonly register: (hooks: HookClient) => Effect.Effect<void, never, Scope.Scope>
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
  static readonly layer: Layer.Layer<HookDispatcher> = Layer.sync(HookDispatcher, () => {
    const registered = new Map<string, Registered>()
    const required = new Set<readonly [pluginId: string, options: HooksOptions]>()
    const implementing = (hook: UnaryHook) =>
      [...registered.values()].filter(({ hooks }) => hooks.implemented.has(hook)).sort(byId)
    const missing = (hook: UnaryHook) =>
      [
        ...new Map(
          [...required].filter(
            ([id, options]) => !registered.has(id) && policyOf(hook, options).onFailure === "refuse",
          ),
        ),
      ].map(([id, options]) => absent(id, options))

    return {
      register: Effect.fnUntraced(function* (hooks) {
        yield* warnOfAbsentHooks(hooks)
        const plugin = yield* makeRegistered(hooks)
        yield* Effect.addFinalizer(() => plugin.drain)
        yield* entry(registered, hooks.pluginId, plugin)
      }),

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
        const schema: DescMessage = hookMethods[hook].input
        // As it is now: the caller may go on changing what it has handed over.
        const event = {
          hook,
          request: clone(schema, create(schema, request)),
          span: yield* Effect.option(Effect.currentSpan),
        }
        yield* Effect.forEach(plugins, ({ enqueue }) => enqueue(event), { discard: true })
      }),

      collect: Effect.fnUntraced(function* <K extends UnaryHook>(hook: K, request: RequestInit<HookMethods[K]>) {
        const answers: Array<Collected<K>> = []
        for (const plugin of implementing(hook)) {
          const answer = yield* Effect.result(plugin.ask(hook, request))
          if (Result.isFailure(answer)) yield* logFailure(plugin.hooks.pluginId, answer.failure)
          else
            answers.push({
              pluginId: plugin.hooks.pluginId,
              response: answer.success as Response<HookMethods[K]>,
            })
        }
        return answers
      }),

      call: Effect.fnUntraced(function* <K extends UnaryHook>(
        pluginId: string,
        hook: K,
        request: RequestInit<HookMethods[K]>,
      ) {
        const plugin = registered.get(pluginId)
        if (plugin === undefined || !plugin.hooks.implemented.has(hook)) return Option.none()
        const answer = yield* Effect.tapError(plugin.ask(hook, request), (error) => logFailure(pluginId, error))
        return Option.some(answer as Response<HookMethods[K]>)
      }),
    }
  })

  /**
   * For tests of a backend: one plugin called `mock` answers with `handlers` and implements exactly those hooks, without
   * a process or gRPC. Without handlers nobody has an opinion.
   */
  static readonly layerTest = (handlers: HookHandlers = {}): Layer.Layer<HookDispatcher> =>
    Layer.effectDiscard(
      Effect.flatMap(HookDispatcher, ({ register }) => register(testClient(undefined as never, "mock", handlers))),
    ).pipe(Layer.provideMerge(HookDispatcher.layer))
}

type AskError = HookError | HookSuspendedError

const logFailure = (pluginId: string, { message }: AskError) =>
  Effect.annotateLogs(Effect.logError(message), { plugin_id: pluginId })

/** What plugins are told of, and the span that it happened in. */
interface Event {
  readonly hook: UnaryHook
  readonly request: unknown
  readonly span: Option.Option<Tracer.Span>
}

/** A plugin to ask. */
interface Asked {
  readonly hooks: Pick<HookClient, "pluginId" | "policy">
  readonly ask: (hook: UnaryHook, request: unknown) => Effect.Effect<unknown, AskError>
}

const byId = (a: Asked, b: Asked) => (a.hooks.pluginId < b.hooks.pluginId ? -1 : 1)

/** A plugin that would have to be asked and is not there. */
const absent = (pluginId: string, options: HooksOptions): Asked => ({
  hooks: { pluginId, policy: (hook) => policyOf(hook, options) },
  ask: (hook) => notActive(pluginId, hook),
})

const notActive = (pluginId: string, hook: UnaryHook) => {
  const name = hookName(hook)
  const details = "the plugin is not active"
  return measured(
    pluginId,
    name,
    Effect.fail(new HookTransportError({ pluginId, hook: name, status: "UNAVAILABLE", details })),
  )
}

/** Who has no hook has nothing against anything: that is not what an operator wants who waits for its word. */
const warnOfAbsentHooks = ({ implemented, pluginId, policy }: HookClient) =>
  Effect.forEach(
    Object.keys(deciding) as ReadonlyArray<DecidingHook>,
    (hook) =>
      policy(hook).onFailure === "allow" || implemented.has(hook)
        ? Effect.void
        : Effect.logWarning(`plugin ${pluginId} has to agree in ${hookName(hook)} and does not implement it`),
    { discard: true },
  )

/** Keeps an entry while the Scope is open. */
const entry = <A>(entries: Map<string, A>, id: string, value: A): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => void entries.set(id, value)),
    // A plugin that was started again meanwhile has an entry of its own.
    () => Effect.sync(() => void (entries.get(id) === value && entries.delete(id))),
  )

/** A plugin that is part of every dispatch. */
interface Registered extends Asked {
  readonly hooks: HookClient
  readonly enqueue: (event: Event) => Effect.Effect<void>
  /** Takes no more events, and waits until those there are were delivered. */
  readonly drain: Effect.Effect<void>
}

const makeRegistered = Effect.fnUntraced(function* (
  hooks: HookClient,
): Effect.fn.Return<Registered, never, Scope.Scope> {
  const { pluginId } = hooks
  const breaker = CircuitBreaker.make(pluginId)
  const ask = (hook: UnaryHook, request: unknown) =>
    breaker
      .call(hookName(hook), (hooks[hook] as (request: unknown) => Effect.Effect<unknown, HookError>)(request))
      .pipe(
        Effect.tapError((error) =>
          error._tag === "HookSuspendedError" ? countSuspended(pluginId, error.hook) : Effect.void,
        ),
      )

  const queue = yield* Queue.make<Event, Cause.Done>({
    capacity: NOTIFICATION_QUEUE,
    strategy: "dropping",
  })
  const ending = yield* Latch.make()
  let ends = false
  let lost = 0
  const tell = (event: Event): Effect.Effect<void> =>
    Effect.catch(Effect.asVoid(ask(event.hook, event.request)), (error) => {
      if (error._tag === "HookNotImplementedError") return Effect.void
      if (error._tag !== "HookSuspendedError") return Effect.logError(error.message)
      // What happens while the plugin rests waits for it, unless it is about to end.
      if (!ends)
        return Effect.andThen(Effect.raceFirst(breaker.rested(hookName(event.hook)), ending.await), tell(event))
      lost++
      return countLost(pluginId, hookName(event.hook))
    })
  const deliver = Effect.flatMap(Queue.take(queue), (event) =>
    Option.isSome(event.span) ? Effect.withParentSpan(tell(event), event.span.value) : tell(event),
  )
  // What one event breaks must not keep the next from being told.
  const survive = Effect.catchDefect(deliver, (defect) =>
    Effect.logError(`plugin ${pluginId}: telling it failed`, defect),
  )
  const worker = yield* Effect.forkScoped(
    Effect.annotateLogs(Effect.ignore(Effect.forever(survive)), { plugin_id: pluginId }),
  )
  let isFull = false
  return {
    hooks,
    // It may have been stopped while others were asked. What waits in its queue is told all the same.
    ask: (hook, request) => Effect.suspend(() => (ends ? notActive(pluginId, hook) : ask(hook, request))),
    enqueue: Effect.fnUntraced(function* (event) {
      const { hook } = event
      if (yield* Queue.offer(queue, event)) {
        isFull = false
        return
      }
      yield* countLost(pluginId, hookName(hook))
      // Said once until there is room again.
      if (!isFull) {
        yield* Effect.logError(
          `plugin ${pluginId} is ${NOTIFICATION_QUEUE} events behind; ${hookName(hook)} and more are lost`,
        )
      }
      isFull = true
    }),
    drain: Effect.suspend(() => ((ends = true), ending.open)).pipe(
      Effect.andThen(Queue.end(queue)),
      Effect.andThen(Fiber.await(worker)),
      Effect.timeoutOrElse({
        duration: DRAIN_LIMIT,
        orElse: () =>
          Effect.logWarning(`plugin ${pluginId}: events that still wait for it are lost, since it was stopped`),
      }),
      Effect.andThen(
        Effect.suspend(() =>
          lost === 0
            ? Effect.void
            : Effect.logError(`plugin ${pluginId}: ${lost} events are lost, since it did not answer when it ended`),
        ),
      ),
    ),
  }
})

const reject = ({ hooks }: Asked, hook: UnaryHook, reason: string, isFailure = false) =>
  Effect.fail(new HookRejectedError({ pluginId: hooks.pluginId, hook: hookName(hook), reason, isFailure }))

/** A plugin's answer; or nothing, if it failed and is to be passed over. */
const askOrPassOver = (
  plugin: Asked,
  hook: DecidingHook,
  request: unknown,
): Effect.Effect<unknown, HookRejectedError> =>
  Effect.catch(plugin.ask(hook, request), (error) => {
    if (error._tag === "HookNotImplementedError") return Effect.undefined
    // An error that the plugin answers is its word, where the hook has no other for a refusal; but not one that says
    // that its handler has raised (the published SDK's ids).
    if (error._tag === "HookPluginError" && error.isAnswer && !error.id.endsWith(".error")) {
      return reject(plugin, hook, error.reason)
    }
    return Effect.andThen(
      logFailure(plugin.hooks.pluginId, error),
      plugin.hooks.policy(hook).onFailure === "allow"
        ? Effect.succeed(undefined)
        : reject(plugin, hook, "the plugin that has to agree could not be asked", true),
    )
  })
