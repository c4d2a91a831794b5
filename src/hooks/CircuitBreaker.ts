import { Cause, Duration, Effect, Exit, Latch, Option } from "effect"
import type { HookError } from "./HookError.ts"

/** Failures to answer in a row that open the circuit: not a hiccup, and bearable for whoever waits. */
export const BREAKER_FAILURES = 5

/** How long it stays open. Half-open then, it lets one call through; if that fails too, it is open as long again. */
export const BREAKER_PAUSE: Duration.Duration = Duration.seconds(30)

/** A caller that gives up after as long has waited for an answer and got none. One that leaves earlier says nothing. */
const GIVEN_UP = Duration.toMillis(Duration.seconds(5))

/** The circuit to one hook of a plugin. */
export type Circuit =
  /** Calls go through. */
  | { readonly _tag: "Closed"; readonly failures: number }
  /** No call goes through until then, in milliseconds since the epoch. */
  | { readonly _tag: "Open"; readonly failures: number; readonly until: number; readonly over: Latch.Latch }
  /** One call is on its way, and its end decides; until then no other goes through. */
  | { readonly _tag: "HalfOpen"; readonly failures: number; readonly until: number; readonly over: Latch.Latch }

/** What a call says of the plugin: it has answered, or not; nobody knows when its caller gave up early. */
export type CallEnd = "answered" | "unanswered" | "unknown"

/** A call that has been let through. */
export interface Passage {
  /** Says how it has ended; `now` in milliseconds. Answers whether the circuit is open by that. */
  readonly end: (how: CallEnd, now: number) => boolean
}

/** Stops calling a hook of one plugin that keeps not answering, so that it does not hold up everybody who would ask it. */
export interface CircuitBreaker {
  /** Lets a call through, whose end has to be told; undefined while the circuit is open. `now` in milliseconds. */
  readonly pass: (hook: string, now: number) => Passage | undefined
  /** Whether a call would be let through; `now` in milliseconds. */
  readonly mayPass: (hook: string, now: number) => boolean
  /** How a hook's circuit is. */
  readonly circuit: (hook: string) => Circuit
  /** Waits until the hook may be tried again; somebody else may be who tries it. */
  readonly rested: (hook: string) => Effect.Effect<void>
}

const CLOSED: Circuit = { _tag: "Closed", failures: 0 }

/**
 * Makes the breaker of one run of a plugin. Each hook has a circuit of its own: one that answers says nothing of one that
 * hangs. What the plugin answers, be it an error of its own, counts as an answer.
 */
export const make = (): CircuitBreaker => {
  const circuits = new Map<string, Circuit>()
  const circuit = (hook: string): Circuit => circuits.get(hook) ?? CLOSED
  const become = (hook: string, next: Circuit) => {
    const before = circuit(hook)
    circuits.set(hook, next)
    // Whoever waits looks again.
    if (before._tag !== "Closed" && (next._tag === "Closed" || next.over !== before.over)) before.over.openUnsafe()
  }
  const open = (failures: number, until: number): Circuit => ({
    _tag: "Open",
    failures,
    until,
    over: Latch.makeUnsafe(),
  })

  const ended = (hook: string, trial: Circuit | undefined, how: CallEnd, now: number): boolean => {
    const current = circuit(hook)
    if (how === "unknown") {
      // Who comes next tries it.
      if (trial !== undefined && current === trial && trial._tag !== "Closed") {
        become(hook, open(trial.failures, trial.until))
      }
      return false
    }
    if (how === "answered") {
      if (current._tag !== "Closed" || current.failures > 0) become(hook, CLOSED)
      return false
    }
    const failures = current.failures + 1
    const opens = current._tag === "Closed" ? failures >= BREAKER_FAILURES : current === trial
    if (opens) become(hook, open(failures, now + Duration.toMillis(BREAKER_PAUSE)))
    else if (current._tag === "Closed") circuits.set(hook, { _tag: "Closed", failures })
    return opens
  }

  const isShut = (current: Circuit, now: number): boolean =>
    current._tag === "HalfOpen" || (current._tag === "Open" && now < current.until)

  const pass = (hook: string, now: number): Passage | undefined => {
    const current = circuit(hook)
    if (isShut(current, now)) return undefined
    if (current._tag === "Closed") return { end: (how, then) => ended(hook, undefined, how, then) }
    const trial: Circuit = { ...current, _tag: "HalfOpen" }
    become(hook, trial)
    return { end: (how, then) => ended(hook, trial, how, then) }
  }

  return {
    pass,
    mayPass: (hook, now) => !isShut(circuit(hook), now),
    circuit,
    rested: (hook) =>
      Effect.clockWith((clock) => {
        const current = circuit(hook)
        if (current._tag === "Closed") return Effect.void
        if (current._tag === "HalfOpen") return current.over.await
        const left = current.until - clock.currentTimeMillisUnsafe()
        return left <= 0 ? Effect.void : Effect.raceFirst(Effect.sleep(Duration.millis(left)), current.over.await)
      }),
  }
}

/** What an error says of the plugin; none is an answer. */
export const endOf = (error: HookError | undefined): CallEnd =>
  error?._tag === "HookDeadlineError" || error?._tag === "HookTransportError" ? "unanswered" : "answered"

/** What the end of a call says that took so many milliseconds. */
export const endOfExit = (exit: Exit.Exit<unknown, HookError>, millis: number): CallEnd =>
  Exit.isSuccess(exit)
    ? "answered"
    : Option.match(Cause.findErrorOption(exit.cause), {
        onNone: () => endOfInterrupted(millis),
        onSome: endOf,
      })

/** What it says that a call was given up after so many milliseconds. */
export const endOfInterrupted = (millis: number): CallEnd => (millis >= GIVEN_UP ? "unanswered" : "unknown")
