import { type Cause, Context, Duration, Effect, Fiber, Latch, Queue, type Scope, Semaphore, type Tracer } from "effect"
import type { AnyContract } from "../contract/Contract.ts"
import { countLost } from "./HookMetrics.ts"
import { EncodedMessage, encodeMessage } from "../rpc/WireCheck.ts"
import type { HookClient } from "./Hooks.ts"

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
  const scope = yield* Effect.scope
  const queue = yield* Queue.make<Event, Cause.Done>({ capacity: limits.count, strategy: "dropping" })
  /** Events that are neither told nor given up. */
  const waiting = new Set<Event>()
  let bytes = 0
  let run: HookClient | undefined
  const isPresent = Latch.makeUnsafe(false)
  /** Opened when the run is another one, or is about to end. */
  let turned = Latch.makeUnsafe(false)
  /** What `turned` was when the run could not be reached. */
  let unreached: Latch.Latch | undefined
  /** Whether no event has reached the plugin since one did not: they go one by one then, for each may be lost. */
  let isUnsure = false
  let isEnding = false
  let givenUp = 0

  /** The run to tell of an event, once there is one that may be told. */
  const ready = (event: Event): Effect.Effect<HookClient> =>
    Effect.suspend(() => {
      const told = run
      if (told === undefined) return Effect.andThen(isPresent.await, ready(event))
      const isOver = turned
      const waitFor = (rest: Effect.Effect<void>) => Effect.andThen(Effect.raceFirst(rest, isOver.await), ready(event))
      if (isEnding) return Effect.succeed(told)
      if (unreached === isOver) {
        // Where the plugin has ended, what waits is for its next run.
        return waitFor(
          Effect.andThen(
            Effect.sleep(UNREACHED_PAUSE),
            Effect.sync(() => (unreached = undefined)),
          ),
        )
      }
      const { breaker } = told.calls
      return Effect.flatMap(breaker.mayPass(event.hook), (may) =>
        may ? Effect.succeed(told) : waitFor(breaker.rested(event.hook)),
      )
    })
  const tell = (event: Event, told: HookClient): Effect.Effect<void> =>
    Effect.suspend(() => {
      const isOver = turned
      const heard = Effect.map(told.call(event.hook, event.request), () => void (isUnsure = false))
      return Effect.catch(heard, (error) => {
        switch (error._tag) {
          case "HookNotImplementedError":
            return Effect.void
          case "HookTransportError": {
            // One of all those that were on their way says enough.
            const isKnown = unreached === isOver
            isUnsure = true
            if (!isEnding) unreached = isOver
            return isKnown ? Effect.logDebug(error.message) : Effect.logError(error.message)
          }
          case "HookSuspendedError":
            if (!isEnding) return Effect.flatMap(ready(event), (next) => tell(event, next))
            givenUp++
            return countLost(pluginId, event.name)
          default:
            return Effect.logError(error.message)
        }
      })
    })
  const turn = Effect.suspend(() => {
    const over = turned
    turned = Latch.makeUnsafe(isEnding)
    return over.open
  })
  const done = (event: Event) => {
    if (waiting.delete(event)) bytes -= sizeOf(event)
  }
  const deliver = (event: Event, told: HookClient) => {
    const telling = tell(event, told)
    const traced = event.span === undefined ? telling : Effect.withParentSpan(telling, event.span)
    // What one event breaks must not keep the next from being told.
    return Effect.andThen(
      Effect.catchDefect(traced, (defect) => Effect.logError(`plugin ${pluginId}: telling it failed`, defect)),
      Effect.sync(() => done(event)),
    )
  }
  const inFlight = Math.max(1, limits.inFlight)
  const room = Semaphore.makeUnsafe(inFlight)
  let latest: HookClient | undefined
  /** The run to tell: another one than before hears of nothing until that has answered all, since it might begin earlier. */
  const inTurn = (event: Event): Effect.Effect<HookClient> =>
    Effect.flatMap(ready(event), (told) => {
      if (told === latest) return Effect.succeed(told)
      latest = told
      const others = inFlight - 1
      return room.take(others).pipe(Effect.andThen(room.release(others)), Effect.andThen(inTurn(event)))
    })
  const next = Effect.gen(function* () {
    const event = yield* Queue.take(queue)
    yield* room.take(1)
    const told = yield* inTurn(event)
    const delivering = Effect.ensuring(deliver(event, told), room.release(1))
    // It begins at once, so that the next one begins after it.
    yield* told.keepsOrder && !isUnsure ? Effect.forkIn(delivering, scope, { startImmediately: true }) : delivering
  })
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Effect.forEach(waiting, ({ name }) => countLost(pluginId, name), { discard: true }),
      waiting.size + givenUp === 0
        ? Effect.void
        : Effect.logError(`plugin ${pluginId}: ${waiting.size + givenUp} events are lost, since it has ended`),
    ),
  )
  // After a pause each event would be written by itself.
  const worker = yield* Effect.forever(next, { disableYield: true }).pipe(
    Effect.ignore,
    Effect.andThen(room.take(inFlight)),
    Effect.annotateLogs({ plugin_id: pluginId }),
    Effect.forkScoped,
  )

  let isFull = false
  return {
    offer: Effect.fnUntraced(function* (event) {
      // One that is larger than all there is room for goes by itself.
      if (bytes + sizeOf(event) <= limits.bytes || waiting.size === 0) {
        waiting.add(event)
        bytes += sizeOf(event)
        if (yield* Queue.offer(queue, event)) {
          isFull = false
          return
        }
        done(event)
      }
      yield* countLost(pluginId, event.name)
      // Said once until there is room again.
      if (!isFull && !isEnding) {
        yield* Effect.logError(
          `plugin ${pluginId} is ${waiting.size} events (${bytes} bytes) behind; ${event.name} and more are lost`,
        )
      }
      isFull = true
    }),
    turnTo: (next) =>
      Effect.suspend(() => {
        run = next
        return Effect.andThen(turn, next === undefined ? isPresent.close : isPresent.open)
      }),
    drain: Effect.suspend(() => ((isEnding = true), turn)).pipe(
      Effect.andThen(Queue.end(queue)),
      Effect.andThen(Fiber.await(worker)),
      Effect.asVoid,
    ),
  }
})
