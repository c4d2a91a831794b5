import type { Duplex } from "node:stream"
import { statusCode } from "../rpc/RpcError.ts"
import { MAX_CONCURRENT_STREAMS } from "../rpc/RpcLimits.ts"
import { cancelRequest } from "./Cancel.ts"
import { deadlineTimer } from "./DeadlineTimer.ts"
import { frameType } from "./Frame.ts"
import { type Backlog, makeBacklog } from "./Inbox.ts"
import type { Sender } from "./Outbox.ts"
import { nextId } from "./StreamIds.ts"
import { streamTable } from "./StreamTable.ts"
import { connection, type TtrpcConnection } from "./TtrpcConnection.ts"

/** A call as its connection knows it. */
export interface ClientCallState {
  /** As `performance.now` has it; Infinity without one. */
  readonly deadline: number
  /** Its turn has come: `stream` is what it may send its request in. */
  readonly begin: (stream: number) => void
  /** A frame of its stream. */
  readonly receive: (type: number, flags: number, data: Buffer) => void
  /** It has ended without the other side's word. */
  readonly fail: (code: number, details: string) => void
}

/** The calls of one connection. */
export interface ClientCalls {
  readonly connection: TtrpcConnection
  /** Watches over the deadline of a call that is begun later. */
  readonly prepare: (call: ClientCallState) => void
  /** Begins a call, when its turn has come. */
  readonly start: (call: ClientCallState) => void
  /** Forgets a call: it has ended, or is given up, which the other side is told. */
  readonly end: (call: ClientCallState, stream: number | undefined, isGivenUp: boolean) => void
  /** They are called when there is room for what is to be written. */
  readonly senders: Set<Sender>
  readonly backlog: Backlog
}

/** The text of a deadline's status. */
export const LATE = "the call's deadline has passed"

/**
 * The calls of a client's side, by their streams. No more of them are under way than a server of ours takes, and none
 * begins while the other side does not read: those wait for their turn, in order.
 */
export const clientCalls = (
  socket: Duplex,
  limit: number,
  ended: (reason: string, isGarbled: boolean) => void,
): ClientCalls => {
  const calls = streamTable<ClientCallState>()
  const prepared = new Set<ClientCallState>()
  const waiting = new Set<ClientCallState>()
  const senders = new Set<Sender>()
  let lastStream: number | undefined

  const nextStream = (): number => {
    let stream = nextId(lastStream)
    while (calls.get(stream) !== undefined) stream = nextId(stream)
    lastStream = stream
    return stream
  }

  const mayBegin = (): boolean => calls.size() < MAX_CONCURRENT_STREAMS && !wire.isFull()

  const begin = (call: ClientCallState): void => {
    const stream = nextStream()
    calls.set(stream, call)
    call.begin(stream)
  }

  const beginWaiting = (): void => {
    for (const call of waiting) {
      if (!mayBegin()) return
      waiting.delete(call)
      begin(call)
    }
  }

  const all = (): ReadonlyArray<ClientCallState> => [...calls.all(), ...waiting, ...prepared]

  const timer = deadlineTimer((now) => {
    let next = Infinity
    const look = (call: ClientCallState) => {
      if (call.deadline <= now) call.fail(statusCode.DEADLINE_EXCEEDED, LATE)
      else next = Math.min(next, call.deadline)
    }
    for (const call of all()) look(call)
    return next
  })

  const wire = connection(socket, limit, {
    // Answers to calls that were given up still come, and have nobody to take them.
    frame: (stream, type, flags, data) => calls.get(stream)?.receive(type, flags, data),
    oversized: (stream, _type, length) =>
      calls
        .get(stream)
        ?.fail(statusCode.RESOURCE_EXHAUSTED, `Received message larger than max (${length} vs ${limit})`),
    drained: () => {
      for (const sender of senders) {
        if (wire.isFull()) return
        senders.delete(sender)
        sender()
      }
      beginWaiting()
    },
    ended: (reason, isGarbled) => {
      timer.stop()
      backlog.stop()
      senders.clear()
      ended(reason, isGarbled)
      for (const call of all()) call.fail(statusCode.UNAVAILABLE, reason)
    },
  })

  const backlog = makeBacklog(wire, limit)

  /** Whether a call may still be made; one that may not fails. */
  const accept = (call: ClientCallState): boolean => {
    const reason = wire.end()
    if (reason !== undefined) {
      call.fail(statusCode.UNAVAILABLE, reason)
      return false
    }
    if (call.deadline === Infinity) return true
    if (call.deadline <= performance.now()) {
      call.fail(statusCode.DEADLINE_EXCEEDED, LATE)
      return false
    }
    timer.watch(call.deadline)
    return true
  }

  return {
    connection: wire,
    senders,
    backlog,
    prepare: (call) => {
      if (!accept(call)) return
      prepared.add(call)
    },
    start: (call) => {
      prepared.delete(call)
      if (!accept(call)) return
      if (waiting.size === 0 && mayBegin()) begin(call)
      else waiting.add(call)
    },
    end: (call, stream, isGivenUp) => {
      if (stream === undefined) {
        prepared.delete(call)
        waiting.delete(call)
        return
      }
      if (!calls.delete(stream) || wire.end() !== undefined) return
      if (isGivenUp) wire.envelope(nextStream(), frameType.REQUEST, 0, cancelRequest(stream))
      if (waiting.size > 0) beginWaiting()
    },
  }
}
