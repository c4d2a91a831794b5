import type { DescMessage } from "@bufbuild/protobuf"
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { type Cause, Context, Duration, Effect, Fiber, Latch, Option, Queue, type Scope, type Tracer } from "effect"
import type { AnyContract } from "../contract/Contract.ts"
import { countLost } from "./HookMetrics.ts"
import type { HookClient } from "./Hooks.ts"

/** How many events may wait for one plugin, and of how many bytes in all. */
export interface Limits {
  readonly count: number
  readonly bytes: number
}

/**
 * What may wait for one plugin; taken by a host's Layer. More is dropped: a plugin that is so far behind will not catch up.
 * Default 1000 and 32 MiB: a thousand ordinary posts are far less, a thousand long ones too much.
 */
export const NotificationLimits: Context.Reference<Limits> = Context.Reference(
  "effect-plugin-supervisor/hooks/NotificationLimits",
  { defaultValue: () => ({ count: 1000, bytes: 32 * 1024 * 1024 }) },
)

/** What plugins are told of, and the span that it happened in. */
export interface Event {
  readonly hook: string
  /** The hook's name as the contract has it. */
  readonly name: string
  readonly request: object
  /** The size of the request on the wire. */
  readonly bytes: number
  readonly span: Option.Option<Tracer.Span>
}

/** An event of a request as it is now: the caller may go on changing what it has handed over. */
export const event = (
  { unary }: AnyContract,
  hook: string,
  request: object,
  span: Option.Option<Tracer.Span>,
): Event => {
  const { method, name } = unary.get(hook)!
  const schema: DescMessage = method.input
  const bytes = toBinary(schema, create(schema, request as never))
  return { hook, name, request: fromBinary(schema, bytes), bytes: bytes.length, span }
}

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
 * Tells a plugin of events one after the other, in their order. While the circuit to a hook is open, they wait, unless the
 * plugin is about to end. An event whose run ends while it is told is not told again: it may be what has ended the run.
 */
export const make = Effect.fnUntraced(function* (
  pluginId: string,
  limits: Limits,
): Effect.fn.Return<NotificationQueue, never, Scope.Scope> {
  const queue = yield* Queue.make<Event, Cause.Done>({ capacity: limits.count, strategy: "dropping" })
  /** Events that are neither told nor given up. */
  const waiting = new Set<Event>()
  let bytes = 0
  let run: HookClient | undefined
  const isPresent = Latch.makeUnsafe(false)
  /** Opened when the run is another one, or is about to end. */
  let turned = Latch.makeUnsafe(false)
  let isEnding = false
  let givenUp = 0

  /** The run that there is, once there is one. */
  const present: Effect.Effect<HookClient> = Effect.suspend(() =>
    run === undefined ? Effect.andThen(isPresent.await, present) : Effect.succeed(run),
  )
  const tell = (event: Event): Effect.Effect<void> =>
    Effect.flatMap(present, (told) => {
      const isOver = turned
      return Effect.catch(Effect.asVoid(told.call(event.hook, event.request)), (error) => {
        switch (error._tag) {
          case "HookNotImplementedError":
            return Effect.void
          case "HookTransportError":
            // Where the plugin has ended, what waits is for its next run.
            return Effect.andThen(
              Effect.logError(error.message),
              isEnding ? Effect.void : Effect.raceFirst(Effect.sleep(UNREACHED_PAUSE), isOver.await),
            )
          case "HookSuspendedError": {
            if (!isEnding) {
              const { rested } = told.calls.breaker
              return Effect.andThen(Effect.raceFirst(rested(event.hook), isOver.await), tell(event))
            }
            givenUp++
            return countLost(pluginId, event.name)
          }
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
    if (waiting.delete(event)) bytes -= event.bytes
  }
  const deliver = Effect.flatMap(Queue.take(queue), (event) => {
    const told = Option.isSome(event.span) ? Effect.withParentSpan(tell(event), event.span.value) : tell(event)
    // What one event breaks must not keep the next from being told.
    return Effect.andThen(
      Effect.catchDefect(told, (defect) => Effect.logError(`plugin ${pluginId}: telling it failed`, defect)),
      Effect.sync(() => done(event)),
    )
  })
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Effect.forEach(waiting, ({ name }) => countLost(pluginId, name), { discard: true }),
      waiting.size + givenUp === 0
        ? Effect.void
        : Effect.logError(`plugin ${pluginId}: ${waiting.size + givenUp} events are lost, since it has ended`),
    ),
  )
  const worker = yield* Effect.forkScoped(
    Effect.annotateLogs(Effect.ignore(Effect.forever(deliver)), { plugin_id: pluginId }),
  )

  let isFull = false
  return {
    offer: Effect.fnUntraced(function* (event) {
      // One that is larger than all there is room for goes by itself.
      if (bytes + event.bytes <= limits.bytes || waiting.size === 0) {
        waiting.add(event)
        bytes += event.bytes
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
