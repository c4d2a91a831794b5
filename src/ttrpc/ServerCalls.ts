import type { Duplex } from "node:stream"
import { Result } from "effect"
import { type RpcStatus, statusCode } from "../rpc/RpcError.ts"
import { MAX_CONCURRENT_STREAMS, MAX_METADATA_SIZE } from "../rpc/RpcLimits.ts"
import { cancelledStream, isCancel } from "./Cancel.ts"
import { LATE } from "./ClientCalls.ts"
import { deadlineTimer } from "./DeadlineTimer.ts"
import {
  decodeRequest,
  encodeStatus,
  type Envelope,
  headSize,
  payloadField,
  type RequestEnvelope,
  statusDetailsOf,
} from "./Envelope.ts"
import { frameType } from "./Frame.ts"
import { type Backlog, makeBacklog } from "./Inbox.ts"
import type { Sender } from "./Outbox.ts"
import { isLater } from "./StreamIds.ts"
import { streamTable } from "./StreamTable.ts"
import { connection, type TtrpcConnection } from "./TtrpcConnection.ts"

/** A call as its connection knows it. */
export interface ServerCall {
  readonly stream: number
  /** As `performance.now` has it; Infinity without one. */
  readonly deadline: number
  /** A message of its stream, or the word that there are no more; answers what is wrong with that. */
  readonly receive: (flags: number, data: Buffer) => string | undefined
  /** Ends its handler, since the call has ended otherwise. */
  readonly interrupt: () => void
}

/** What opens a call. */
export interface Opening extends RequestEnvelope {
  readonly stream: number
  readonly deadline: number
  readonly flags: number
}

/** The calls of one connection. */
export interface ServerCalls {
  readonly connection: TtrpcConnection
  /** The largest frame, in bytes of its data. */
  readonly limit: number
  /** They are called when there is room for what is to be written. */
  readonly senders: Set<Sender>
  readonly backlog: Backlog
  /** A call is there from here on. */
  readonly begin: (call: ServerCall) => void
  /** The call is over; `false` where it was before. What is said of it must follow. */
  readonly end: (call: ServerCall) => boolean
  /** Answers a call that is over; what is too large to be sent is an error. */
  readonly answer: (stream: number, payload: Uint8Array) => void
  /** Ends a call against its handler. */
  readonly stop: (call: ServerCall, code: number, details: string) => void
  /** Says how a call that is over has failed. */
  readonly fail: (stream: number, status: RpcStatus) => void
  /** Cancels all calls, and ends the connection when that and what was answered is written. */
  readonly close: (done: () => void) => void
}

/** Begins the call of a request, or answers why it can't. */
export type Accept = (calls: ServerCalls, opening: Opening) => RpcStatus | undefined

const CANCELLED = "the call was cancelled"
const NOTHING = new Uint8Array()

/** The details of a status as they are sent, or why they can't be. */
const detailsOf = ({ statusDetails }: RpcStatus): Result.Result<ReadonlyArray<Uint8Array>, string> => {
  if (statusDetails === undefined) return Result.succeed([])
  if (statusDetails.length > MAX_METADATA_SIZE) {
    return Result.fail(`its details have ${statusDetails.length} bytes, of ${MAX_METADATA_SIZE} that may be sent`)
  }
  return Result.try({
    try: () => statusDetailsOf(statusDetails),
    catch: () => "its details are no google.rpc.Status",
  })
}

/** What of a status can't be sent, beside its code and its text. */
export const statusProblem = (status: RpcStatus): string | undefined => {
  const details = detailsOf(status)
  if (Result.isFailure(details)) return details.failure
  return status.trailers === undefined ? undefined : "ttrpc has none"
}

/**
 * The calls of a server's side, by their streams. `accept` begins the call of a request, or answers why it can't. What the
 * other side does wrong with a stream ends that stream with INVALID_ARGUMENT.
 */
export const serverCalls = (
  socket: Duplex,
  limit: number,
  accept: Accept,
  ended: (reason: string, isGarbled: boolean) => void,
): ServerCalls => {
  const calls = streamTable<ServerCall>()
  const senders = new Set<Sender>()
  let lastStream: number | undefined
  /** Nothing more is read until the other side has read what there is. */
  let isHeld = false

  const timer = deadlineTimer((now) => {
    let next = Infinity
    for (const call of calls.all()) {
      if (call.deadline <= now) stop(call, statusCode.DEADLINE_EXCEEDED, LATE)
      else next = Math.min(next, call.deadline)
    }
    return next
  })

  const respond = (stream: number, envelope: Envelope): void => {
    wire.envelope(stream, frameType.RESPONSE, 0, envelope)
    if (isHeld || !wire.isFull()) return
    isHeld = true
    wire.hold()
  }

  const fail = (stream: number, code: number, details: string, more?: ReadonlyArray<Uint8Array>): void =>
    respond(stream, {
      fields: encodeStatus(code, details, more),
      timeoutNano: 0,
      field: payloadField.response,
      payload: NOTHING,
    })

  /** Ends a call against its handler. */
  const stop = (call: ServerCall, code: number, details: string): void => {
    if (!calls.delete(call.stream)) return
    fail(call.stream, code, details)
    call.interrupt()
  }

  /** Ends what the other side calls a stream, whether there is a call or not. */
  const refuse = (stream: number, code: number, details: string): void => {
    const call = calls.get(stream)
    if (call === undefined) fail(stream, code, details)
    else stop(call, code, details)
  }

  const isNew = (stream: number): boolean => isLater(stream, lastStream) && calls.get(stream) === undefined

  const request = (stream: number, flags: number, data: Buffer): void => {
    if (!isNew(stream)) return refuse(stream, statusCode.INVALID_ARGUMENT, "a stream's id is used once, and they grow")
    lastStream = stream
    let envelope: RequestEnvelope
    try {
      envelope = decodeRequest(data)
      if (isCancel(envelope)) {
        const call = calls.get(cancelledStream(envelope))
        if (call !== undefined) stop(call, statusCode.CANCELLED, CANCELLED)
        return respond(stream, { fields: undefined, timeoutNano: 0, field: payloadField.response, payload: NOTHING })
      }
    } catch (error) {
      return fail(stream, statusCode.INVALID_ARGUMENT, `the request can't be decoded: ${String(error)}`)
    }
    const { timeoutNano } = envelope
    if (timeoutNano < 0) return fail(stream, statusCode.DEADLINE_EXCEEDED, LATE)
    if (calls.size() >= MAX_CONCURRENT_STREAMS) {
      const details = `the connection has ${MAX_CONCURRENT_STREAMS} calls in flight already`
      return fail(stream, statusCode.RESOURCE_EXHAUSTED, details)
    }
    const deadline = timeoutNano === 0 ? Infinity : performance.now() + timeoutNano / 1_000_000
    const refused = accept(self, { ...envelope, stream, deadline, flags })
    if (refused !== undefined) fail(stream, refused.code, refused.details)
  }

  const wire = connection(socket, limit, {
    frame: (stream, type, flags, data) => {
      if (stream % 2 === 0) return refuse(stream, statusCode.INVALID_ARGUMENT, "the ids of a client's streams are odd")
      if (type === frameType.REQUEST) return request(stream, flags, data)
      const call = calls.get(stream)
      if (type !== frameType.DATA) {
        return refuse(stream, statusCode.INVALID_ARGUMENT, `a client sends no frames of type ${type}`)
      }
      if (call === undefined) {
        // Of a stream that has ended there may be some on the way.
        if (isNew(stream)) fail(stream, statusCode.INVALID_ARGUMENT, "the stream is not open")
        return
      }
      const wrong = call.receive(flags, data)
      if (wrong !== undefined) stop(call, statusCode.INVALID_ARGUMENT, wrong)
    },
    oversized: (stream, type, length) => {
      if (type === frameType.REQUEST && isNew(stream)) lastStream = stream
      refuse(stream, statusCode.RESOURCE_EXHAUSTED, `Received message larger than max (${length} vs ${limit})`)
    },
    drained: () => {
      for (const sender of senders) {
        if (wire.isFull()) return
        senders.delete(sender)
        sender()
      }
      if (!isHeld || wire.isFull()) return
      isHeld = false
      wire.release()
    },
    ended: (reason, isGarbled) => {
      timer.stop()
      self.backlog.stop()
      senders.clear()
      for (const call of calls.all()) {
        calls.delete(call.stream)
        call.interrupt()
      }
      ended(reason, isGarbled)
    },
  })

  const self: ServerCalls = {
    connection: wire,
    limit,
    senders,
    backlog: makeBacklog(wire, limit),
    begin: (call) => {
      calls.set(call.stream, call)
      if (call.deadline !== Infinity) timer.watch(call.deadline)
    },
    end: (call) => calls.get(call.stream) === call && calls.delete(call.stream),
    answer: (stream, payload) => {
      const envelope: Envelope = { fields: undefined, timeoutNano: 0, field: payloadField.response, payload }
      const size = headSize(envelope) + payload.length
      if (size <= limit) respond(stream, envelope)
      else fail(stream, statusCode.RESOURCE_EXHAUSTED, `Sent message larger than max (${size} vs ${limit})`)
    },
    fail: (stream, status) =>
      fail(
        stream,
        status.code,
        status.details,
        Result.getOrElse(detailsOf(status), () => []),
      ),
    stop,
    close: (done) => {
      for (const call of calls.all()) stop(call, statusCode.CANCELLED, CANCELLED)
      wire.close("the server is closed", done)
    },
  }
  return self
}
