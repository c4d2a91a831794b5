import { Context, Duration, Effect, Exit, Option, Scope } from "effect"
import { type AnyContract, hookName } from "../contract/Contract.ts"
import { type HookError, HookTransportError } from "./HookError.ts"
import { failedOutcome, meterOf } from "./HookMetrics.ts"
import type { HookClient } from "./Hooks.ts"
import * as NotificationQueue from "./NotificationQueue.ts"
import { PLUGINS_PATH } from "./RequestTarget.ts"

/** One run of a plugin, from where it is active to where it is about to end. */
export interface ActivePlugin {
  readonly pluginId: string
  /** Tells two runs of one plugin apart: a later one has a greater number. */
  readonly generation: number
  readonly hooks: HookClient
  /** Asks the plugin, unless it keeps not answering this hook. */
  readonly ask: (hook: string, request: object) => Effect.Effect<object, HookError>
  /** Tells the plugin of an event, after those that wait for it already. */
  readonly tell: (event: NotificationQueue.Event) => Effect.Effect<void>
}

/** A run as it is held by whoever registered it. */
export interface Registration extends ActivePlugin {
  /**
   * Takes the run out of every dispatch and waits, within `limit`, until what it is at work on has ended. Where no other run is
   * there or expected, the events that wait are delivered as well. After `streamLimit`, if there is one, server-sent events
   * and WebSockets are ended. Answers whether nothing was left.
   */
  readonly withdraw: (limit: Duration.Input, streamLimit?: Duration.Input) => Effect.Effect<boolean>
}

/**
 * All runs of a host's plugins that hooks and HTTP requests reach now. Two runs of one plugin may overlap: the later one is
 * reached, and when it ends first, the earlier one again. Events wait for the plugin and not for a run of it: each is told
 * once, in their order, by whichever run is there.
 */
export interface ActivePlugins {
  /** Below which path clients reach the plugins. Whoever serves them there says so; before that it is the default. */
  path: string
  /** Makes a plugin's hooks part of every dispatch, until it is withdrawn or the Scope closes, whichever is first. */
  readonly register: (hooks: HookClient) => Effect.Effect<Registration, never, Scope.Scope>
  /** The active plugins in the order of their ids: of each its latest run. */
  readonly all: () => ReadonlyArray<ActivePlugin>
  /** The latest run of a plugin. */
  readonly find: (pluginId: string) => Option.Option<ActivePlugin>
  /** Whom to tell of an event: the active plugins, and those that are expected again, by what they have implemented last. */
  readonly listening: (hook: string) => ReadonlyArray<Pick<ActivePlugin, "tell">>
  /**
   * Says whether another run of a plugin is to come when the last one has ended. Events wait for it then, within
   * `NotificationLimits`; when none is expected any more, those that wait are lost, which is counted and logged.
   */
  readonly expect: (pluginId: string, isExpected: boolean) => Effect.Effect<void>
}

/** What waits for a plugin, and where. */
interface Mailbox {
  readonly queue: NotificationQueue.NotificationQueue
  readonly scope: Scope.Closeable
}

/** A plugin of which there is a run, or is to be one. */
interface Place {
  /** In the order in which they were registered. */
  runs: ReadonlyArray<ActivePlugin>
  isExpected: boolean
  mailbox: Mailbox | undefined
  /** What the latest run implements. */
  implemented: ReadonlySet<string>
}

/** Makes a registry in which nobody is yet. */
export const make = (limits: NotificationQueue.Limits): ActivePlugins => {
  const places = new Map<string, Place>()
  let generation = 0
  let sorted: ReadonlyArray<ActivePlugin> | undefined
  const placeOf = (id: string): Place => {
    const known = places.get(id)
    if (known !== undefined) return known
    const made: Place = { runs: [], isExpected: false, mailbox: undefined, implemented: new Set() }
    places.set(id, made)
    return made
  }
  const latest = (id: string) => places.get(id)?.runs.at(-1)
  const change = (place: Place, runs: ReadonlyArray<ActivePlugin>) => {
    place.runs = runs
    sorted = undefined
  }
  const openMailbox = Effect.fnUntraced(function* (id: string) {
    const scope = yield* Scope.make()
    return { scope, queue: yield* Scope.provide(NotificationQueue.make(id, limits), scope) }
  })
  /** Answers the mailbox of a place that nobody is at, nor is expected at; it is somebody else's to close. */
  const vacate = (id: string, place: Place): Mailbox | undefined => {
    if (place.runs.length > 0 || place.isExpected) return undefined
    if (places.get(id) === place) places.delete(id)
    const { mailbox } = place
    place.mailbox = undefined
    return mailbox
  }
  const close = (mailbox: Mailbox | undefined) =>
    mailbox === undefined ? Effect.void : Scope.close(mailbox.scope, Exit.void)

  const register = Effect.fnUntraced(function* (hooks: HookClient) {
    const { pluginId } = hooks
    yield* warnOfAbsentHooks(hooks)
    let isWithdrawn = false
    /** What waits when the last run goes: it is told of it all the same. */
    let left: Mailbox | undefined
    const enter = Effect.gen(function* () {
      const place = placeOf(pluginId)
      place.mailbox ??= yield* openMailbox(pluginId)
      const { queue } = place.mailbox
      const run: ActivePlugin = {
        pluginId,
        generation: ++generation,
        hooks,
        // It may have been stopped while others were asked; if another run has taken its place, that one is asked.
        ask: (hook, request) =>
          Effect.suspend(() =>
            isWithdrawn
              ? (latest(pluginId)?.ask(hook, request) ?? notActive(hooks.contract, pluginId, hook))
              : hooks.call(hook, request),
          ),
        tell: queue.offer,
      }
      change(place, [...place.runs, run])
      place.implemented = hooks.implemented
      yield* queue.turnTo(hooks)
      return { place, run }
    })
    const leave = ({ place, run }: Effect.Success<typeof enter>) =>
      Effect.suspend(() => {
        if (isWithdrawn) return Effect.void
        isWithdrawn = true
        change(
          place,
          place.runs.filter((other) => other !== run),
        )
        const next = place.runs.at(-1)
        if (next !== undefined) place.implemented = next.hooks.implemented
        left = vacate(pluginId, place)
        return left === undefined ? (place.mailbox?.queue.turnTo(next?.hooks) ?? Effect.void) : Effect.void
      })
    const entered = yield* Effect.acquireRelease(enter, (entered) =>
      Effect.andThen(
        leave(entered),
        Effect.suspend(() => close(left)),
      ),
    )
    return {
      ...entered.run,
      withdraw: (limit: Duration.Input, streamLimit?: Duration.Input) => {
        const endStreams = Effect.andThen(Effect.sleep(streamLimit ?? Duration.infinity), hooks.inFlight.endStreams)
        return leave(entered).pipe(
          Effect.andThen(Effect.suspend(() => left?.queue.drain ?? Effect.void)),
          Effect.andThen(hooks.inFlight.idle),
          Effect.as(true),
          Effect.raceFirst(Effect.andThen(endStreams, Effect.never)),
          Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.succeed(false) }),
        )
      },
    }
  })

  return {
    path: PLUGINS_PATH,
    register,
    all: () =>
      (sorted ??= [...places.values()]
        .flatMap(({ runs }) => runs.slice(-1))
        .sort((a, b) => (a.pluginId < b.pluginId ? -1 : 1))),
    find: (id) => Option.fromNullishOr(latest(id)),
    listening: (hook) =>
      [...places.values()].flatMap(({ implemented, mailbox }) =>
        mailbox !== undefined && implemented.has(hook) ? [{ tell: mailbox.queue.offer }] : [],
      ),
    expect: (id, isExpected) =>
      Effect.suspend(() => {
        if (!isExpected && !places.has(id)) return Effect.void
        const place = placeOf(id)
        place.isExpected = isExpected
        return close(vacate(id, place))
      }),
  }
}

/** Who has no hook has nothing against anything: that is not what an operator wants who waits for its word. */
const warnOfAbsentHooks = ({ contract, implemented, pluginId, policy }: HookClient) =>
  Effect.forEach(
    contract.unary,
    ([hook, { kind, name }]) =>
      kind === "decides" && policy(hook).mustAgree && !implemented.has(hook)
        ? Effect.logWarning(`plugin ${pluginId} has to agree in ${name} and does not implement it`)
        : Effect.void,
    { discard: true },
  )

/** The failure of a hook whose plugin is not there. */
export const notActive = (
  contract: AnyContract,
  pluginId: string,
  hook: string,
): Effect.Effect<never, HookTransportError> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const name = hookName(contract, hook)
    const details = "the plugin is not active"
    const error = new HookTransportError({ pluginId, hook: name, status: "UNAVAILABLE", details })
    meterOf(pluginId, name).count(failedOutcome(error), 0, context)
    return Effect.fail(error)
  })
