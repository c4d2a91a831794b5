import { Deferred, Effect, type Fiber, type Option, Result } from "effect"
import { type Metadata, noMetadata } from "../rpc/Metadata.ts"
import type { CallOptions, ClientCall } from "../rpc/RpcClient.ts"
import { type RpcError, statusCode } from "../rpc/RpcError.ts"
import { type RequestInit, type Response, type Streaming } from "../rpc/RpcMethod.ts"
import { failedCall, type Open } from "../rpc/RpcStreams.ts"
import type { ClientCallState } from "./ClientCalls.ts"
import {
  answerOf,
  type Client,
  deadlineOf,
  decoded,
  encoded,
  failure,
  requestFields,
  tell,
  timeoutNano,
  tooLarge,
} from "./ClientUnary.ts"
import { headSize, payloadField } from "./Envelope.ts"
import { frameFlag, frameType } from "./Frame.ts"
import { makeInbox } from "./Inbox.ts"
import { makeOutbox } from "./Outbox.ts"

const NOTHING: Uint8Array = new Uint8Array()
const { NO_DATA, REMOTE_CLOSED, REMOTE_OPEN } = frameFlag

/** Opens streams, for as long as the Scope. */
export const openStream =
  (client: Client): Open =>
  (method, options = {}) =>
    Effect.map(
      Effect.acquireRelease(
        Effect.withFiberSucceed((fiber) => clientStream(client, method, options, fiber)),
        ({ release }) => Effect.sync(release),
      ),
      ({ call }) => call,
    )

/** A call that streams, and what gives it up. */
interface Opened<M extends Streaming> {
  readonly call: ClientCall<RequestInit<M>, Response<M>>
  readonly release: () => void
}

/**
 * A method that streams answers only has its one request in the frame that opens the stream, so that it is not opened
 * before that is sent.
 */
const clientStream = <M extends Streaming>(
  client: Client,
  method: M,
  options: CallOptions,
  fiber: Fiber.Fiber<unknown, unknown>,
): Opened<M> => {
  const { calls, limit } = client
  const wire = calls.connection
  const fields = requestFields(method, options, fiber)
  if (Result.isFailure(fields)) return { call: failedCall(fields.failure), release: () => {} }
  const sendsOne = method.methodKind === "server_streaming"
  let stream: number | undefined
  let request = NOTHING
  /** How the call has ended. */
  let over: Effect.Effect<Option.Option<never>, RpcError> | undefined
  /** Our side is to be closed, or is. */
  let isClosing = false
  const headers = Deferred.makeUnsafe<Metadata, RpcError>()
  const trailers = Deferred.makeUnsafe<Metadata, RpcError>()

  const finish = (end: Effect.Effect<Option.Option<never>, RpcError>, isGivenUp: boolean): void => {
    if (over !== undefined) return
    over = end
    calls.end(call, stream, isGivenUp)
    inbox.end(end)
    Deferred.doneUnsafe(headers, Effect.as(end, noMetadata))
    Deferred.doneUnsafe(trailers, Effect.as(end, noMetadata))
    outbox.wake()
  }
  const fail = (code: number, details: string): void => finish(tell(client, failure(method, code, details)), true)

  const inbox = makeInbox<Response<M>>(calls.backlog, {
    decode: (message) => decoded(method, message),
    overflow: () => {
      inbox.drop()
      fail(statusCode.RESOURCE_EXHAUSTED, "the stream's messages were not read")
    },
    undecodable: (error) => {
      inbox.drop()
      finish(Effect.fail(error), true)
    },
  })
  const outbox = makeOutbox(wire, calls.senders, {
    refusal: () =>
      over === undefined
        ? undefined
        : Effect.andThen(
            over,
            Effect.fail(failure(method, statusCode.UNKNOWN, "the call has ended, nothing more can be sent")),
          ),
    isOpen: () => stream !== undefined,
  })

  const envelope = () => ({
    fields: fields.success,
    timeoutNano: timeoutNano(call.deadline),
    field: payloadField.request,
    payload: request,
  })

  const call: ClientCallState = {
    deadline: deadlineOf(options),
    begin: (given) => {
      stream = given
      wire.envelope(given, frameType.REQUEST, sendsOne ? REMOTE_CLOSED : REMOTE_OPEN, envelope())
      outbox.wake()
    },
    receive: (type, flags, data) => {
      Deferred.doneUnsafe(headers, Effect.succeed(noMetadata))
      if (type === frameType.DATA) {
        if ((flags & NO_DATA) === 0) inbox.push(data)
        if ((flags & REMOTE_CLOSED) !== 0) finish(Effect.succeedNone, false)
      } else if (type === frameType.RESPONSE) {
        const answer = answerOf(method, data)
        if (Result.isFailure(answer)) return finish(Effect.fail(answer.failure), false)
        const payload = answer.success
        if (payload.length > 0 || method.methodKind === "client_streaming") inbox.push(payload)
        finish(Effect.succeedNone, false)
      } else {
        fail(statusCode.INTERNAL, `a server sends no frames of type ${type}`)
      }
    },
    fail,
  }

  const send = (message: RequestInit<M>): Effect.Effect<void, RpcError> =>
    Effect.suspend(() => {
      const bytes = encoded(method, message)
      if (Result.isFailure(bytes)) return Effect.fail(bytes.failure)
      if (sendsOne) {
        if (isClosing) return Effect.fail(failure(method, statusCode.INTERNAL, "the method takes one request"))
        isClosing = true
        request = bytes.success
      }
      const size = sendsOne ? headSize(envelope()) + request.length : bytes.success.length
      if (size > limit) {
        const error = Effect.fail(tooLarge(method, size, limit))
        finish(error, true)
        return error
      }
      if (sendsOne && over === undefined) calls.start(call)
      // Where there is one request only, the frame that opens the stream has it.
      return outbox.send(() => {
        if (!sendsOne) wire.message(stream!, 0, bytes.success)
      })
    })

  if (sendsOne) calls.prepare(call)
  else calls.start(call)
  return {
    call: {
      send,
      end: Effect.sync(() => {
        if (isClosing || over !== undefined) return
        isClosing = true
        outbox.post(() => {
          if (!sendsOne) wire.message(stream!, REMOTE_CLOSED | NO_DATA, NOTHING)
        })
      }),
      receive: inbox.receive,
      headers: Deferred.await(headers),
      trailers: Deferred.await(trailers),
    },
    release: () => {
      inbox.drop()
      finish(Effect.fail(failure(method, statusCode.CANCELLED, "the call was cancelled")), true)
    },
  }
}
