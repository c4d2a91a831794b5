import { Clock, Context, Duration, Effect, Fiber, Latch, MutableList, type Scope, type Tracer } from "effect"
import type { AnyContract } from "../contract/Contract.ts"
import { countLost } from "./HookMetrics.ts"
import { outsideTrace } from "../rpc/RpcTrace.ts"
import { EncodedMessage, encodeMessage } from "../rpc/WireCheck.ts"
import type { HookClient } from "./Hooks.ts"
import { SETTINGS_HOOK } from "./PluginCalls.ts"

/** How many events may wait for one plugin, of how many bytes in all, and how many it may be at work on at once. */
export interface Limits {
  readonly count: number
  readonly bytes: number
  readonly inFlight: number
}

/**
 * What may wait for one plugin; taken by a host's Layer. More is dropped: a plugin that is so far behind will not catch up.
 * Default 1000 and 32 MiB: a thousand ordinary posts are far less, a thousand long ones too much.
 *
 * A plugin that begins calls in their order is told of up to `inFlight` events before it has answered the first. Default 32,
 * half of the handlers that a Python plugin runs at once: the other half is for what somebody waits for. With 1 a plugin
 * hears of an event when it has answered the one before it, as all other plugins do.
 */
export const NotificationLimits: Context.Reference<Limits> = Context.Reference(
  "effect-plugin-supervisor/hooks/NotificationLimits",
  { defaultValue: () => ({ count: 1000, bytes: 32 * 1024 * 1024, inFlight: 32 }) },
)

/** What plugins are told of, and the span that it happened in. */
export interface Event {
  readonly hook: string
  /** The hook's name as the contract has it. */
  readonly name: string
  readonly request: EncodedMessage
  readonly span: Tracer.AnySpan | undefined
}

/** An event of a request as it is now: the caller may go on changing what it has handed over. */
export const event = (
  { unary }: AnyContract,
  hook: string,
  request: object,
  span: Tracer.AnySpan | undefined,
): Event => {
  const { method, name } = unary.get(hook)!
  return { hook, name, request: new EncodedMessage(encodeMessage(method.input, request as never)), span }
}

/** What an event takes of the room that there is for those that wait. */
const sizeOf = ({ request }: Event): number => request.bytes.length

/** How long what waits is kept from a plugin that could not be reached: by then its host has seen it end, if it has. */
const UNREACHED_PAUSE = Duration.seconds(1)

/** The events that wait for a plugin, whichever run of it is there. */
export interface NotificationQueue {
  /** Puts an event at the end; one that there is no room for is lost, which is counted and logged. */
  readonly offer: (event: Event) => Effect.Effect<void>
  /** Says which run is told of events from now on. While there is none, they wait. */
  readonly turnTo: (run: HookClient | undefined) => Effect.Effect<void>
  /**
   * Takes no more events, and waits until those there are were delivered. Who calls this bounds the wait; what is left when
   * the Scope closes is lost, which is logged.
   */
  readonly drain: Effect.Effect<void>
}

/**
 * Tells a plugin of events in their order: one after the other, or several at once where the plugin begins them in their order.
 * While the circuit to a hook is open, they wait, unless the plugin is about to end. An event whose run ends while it is told
 * is not told again: it may be what has ended the run.
 */
export const make = Effect.fnUntraced(function* (
  pluginId: string,
  limits: Limits,
): Effect.fn.Return<NotificationQueue, never, Scope.Scope> {
  const fork = Effect.runForkWith(yield* outsideTrace(Effect.context()))
  const clock = yield* Clock.Clock
  const most = Math.max(1, limits.inFlight)
  const queued = MutableList.make<Event>()
  /** Events that are neither told nor given up: those that are queued, and those that the plugin is just told of. */
  const waiting = new Set<Event>()
  let bytes = 0
  const inFlight = new Set<Fiber.Fiber<void>>()
  let run: HookClient | undefined
  /** The run that was told of an event last. */
  let latest: HookClient | undefined
  /** Opened when the run is another one, or is about to end. */
  let turned = Latch.makeUnsafe(false)
  /** What `turned` was when the run could not be reached. */
  let unreached: Latch.Latch | undefined
  /** Whether no event has reached the plugin since one did not: they go one by one then, for each may be lost. */
  let isUnsure = false
  /** Whether the last event that was told of is that there are other settings. */
  let isSettling = false
  /** The wait for the next event to be told. */
  let rest: Fiber.Fiber<void> | undefined
  const isDone = Latch.makeUnsafe(true)
  let isEnding = false
  let isClosed = false
  let isPumping = false
  let givenUp = 0

  const tell = (event: Event, told: HookClient): Effect.Effect<void> => {
    const isOver = turned
    const heard = Effect.map(told.call(event.hook, event.request), () => void (isUnsure = false))
    return Effect.catch(heard, (error) => {
      switch (error._tag) {
        case "HookNotImplementedError":
          return Effect.void
        case "HookTransportError": {
          // One of all those that were on their way says so for all.
          const isKnown = unreached === isOver
          const others = inFlight.size - 1
          const said = others > 0 ? `${error.message}; ${others} more events were on their way` : error.message
          isUnsure = true
          if (!isEnding) unreached = isOver
          // The plugin may have heard of it, and may not.
          return Effect.andThen(
            countLost(pluginId, event.name),
            isKnown ? Effect.logDebug(error.message) : Effect.logError(said),
          )
        }
        case "HookSuspendedError":
          givenUp++
          return countLost(pluginId, event.name)
        default:
          return Effect.logError(error.message)
      }
    })
  }
  const done = (event: Event) => {
    if (waiting.delete(event)) bytes -= sizeOf(event)
  }
  const deliver = (event: Event, told: HookClient) => {
    const telling = Effect.suspend(() => tell(event, told))
    const traced = event.span === undefined ? telling : Effect.withParentSpan(telling, event.span)
    // What one event breaks must not keep the next from being told.
    return Effect.catchDefect(traced, (defect) =>
      Effect.logError(`plugin ${pluginId}: telling it failed`, defect),
    ).pipe(Effect.andThen(Effect.sync(() => done(event))), Effect.annotateLogs({ plugin_id: pluginId }))
  }

  /** How many events may be told of at once, that one among them. */
  const room = (event: Event, told: HookClient): number => {
    // Another run than before might begin it earlier than that one those before it. And while a plugin hears of its settings,
    // nothing else goes on in it that it was told of.
    const isAlone = told !== latest || event.hook === SETTINGS_HOOK || isSettling
    return told.keepsOrder && !isUnsure && !isAlone ? most : 1
  }

  /** What has to be over before a run may be told of an event. */
  const obstacle = (event: Event, { calls: { breaker } }: HookClient): Effect.Effect<void> | undefined => {
    if (isEnding) return undefined
    if (unreached === turned) {
      // Where the plugin has ended, what waits is for its next run.
      return Effect.andThen(
        Effect.sleep(UNREACHED_PAUSE),
        Effect.sync(() => void (unreached = undefined)),
      )
    }
    return breaker.mayPass(event.hook, clock.currentTimeMillisUnsafe()) ? undefined : breaker.rested(event.hook)
  }

  const ended = (fiber: Fiber.Fiber<void>, forget: () => void) => {
    if (fiber.pollUnsafe() !== undefined) return forget()
    fiber.addObserver(() => {
      forget()
      pump()
    })
  }

  /** Tells of as many events as may be told now. Each call begins at once, so that those that follow begin after it. */
  const pump = (): void => {
    if (isPumping || isClosed) return
    isPumping = true
    for (;;) {
      const told = run
      if (queued.length === 0 || told === undefined || rest !== undefined || inFlight.size >= most) break
      const event = MutableList.take(queued) as Event
      const hasRoom = inFlight.size < room(event, told)
      const wait = hasRoom ? obstacle(event, told) : undefined
      if (!hasRoom || wait !== undefined) MutableList.prepend(queued, event)
      if (!hasRoom) break
      if (wait !== undefined) {
        rest = fork(Effect.raceFirst(wait, turned.await))
        ended(rest, () => (rest = undefined))
        continue
      }
      latest = told
      isSettling = event.hook === SETTINGS_HOOK
      const telling = fork(deliver(event, told))
      inFlight.add(telling)
      ended(telling, () => inFlight.delete(telling))
    }
    isPumping = false
    if (waiting.size === 0) isDone.openUnsafe()
    else isDone.closeUnsafe()
  }

  const turn = () => {
    const over = turned
    turned = Latch.makeUnsafe(isEnding)
    over.openUnsafe()
    pump()
  }

  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      isClosed = true
      return Fiber.interruptAll(rest === undefined ? inFlight : [...inFlight, rest])
    }).pipe(
      Effect.andThen(Effect.forEach(waiting, ({ name }) => countLost(pluginId, name), { discard: true })),
      Effect.andThen(
        Effect.suspend(() =>
          waiting.size + givenUp === 0
            ? Effect.void
            : Effect.logError(`plugin ${pluginId}: ${waiting.size + givenUp} events are lost, since it has ended`),
        ),
      ),
    ),
  )

  let isFull = false
  return {
    offer: (event) =>
      Effect.suspend(() => {
        // One that is larger than all there is room for goes by itself.
        const fits = bytes + sizeOf(event) <= limits.bytes || waiting.size === 0
        if (fits && queued.length < limits.count && !isEnding) {
          waiting.add(event)
          bytes += sizeOf(event)
          MutableList.append(queued, event)
          isFull &&= queued.length > limits.count / 2 || bytes > limits.bytes / 2
          pump()
          return Effect.void
        }
        // Said once until there is much room again.
        const isSaid = isFull || isEnding
        isFull = true
        const said = `plugin ${pluginId} is ${waiting.size} events (${bytes} bytes) behind; ${event.name} and more are lost`
        return Effect.andThen(countLost(pluginId, event.name), isSaid ? Effect.void : Effect.logError(said))
      }),
    turnTo: (next) =>
      Effect.sync(() => {
        run = next
        turn()
      }),
    drain: Effect.suspend(() => {
      isEnding = true
      turn()
      return isDone.await
    }),
  }
})
