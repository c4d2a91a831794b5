import type { DescMethod } from "@bufbuild/protobuf"
import { Duration, Effect, type Fiber, Result } from "effect"
import { noMetadata, STATUS_DETAILS } from "../rpc/Metadata.ts"
import type { CallOptions } from "../rpc/RpcClient.ts"
import { errorCode, RpcError, statusCode } from "../rpc/RpcError.ts"
import { path, type RequestInit, type Response, type Unary } from "../rpc/RpcMethod.ts"
import type { Fail } from "../rpc/RpcStreams.ts"
import { traceparentOf } from "../rpc/RpcTrace.ts"
import { decodeMessage, encodeMessage } from "../rpc/WireCheck.ts"
import type { ClientCalls, ClientCallState } from "./ClientCalls.ts"
import { decodeResponse, encodeMethod, headSize, payloadField, withMetadata } from "./Envelope.ts"
import { frameType } from "./Frame.ts"
import { toTtrpc } from "./TtrpcMetadata.ts"

/** What calls need of their client. */
export interface Client {
  readonly calls: ClientCalls
  /** The largest frame, in bytes of its data. */
  readonly limit: number
  readonly explainLoss: Fail
}

/** The error of a call that this side knows of. */
export const failure = (method: DescMethod, code: number, details: string): RpcError =>
  new RpcError({ method: path(method), code, details })

/** Tells an error, and more of it where the connection is lost. */
export const tell = ({ calls, explainLoss }: Client, error: RpcError): Effect.Effect<never, RpcError> =>
  error.code === statusCode.UNAVAILABLE && calls.connection.end() !== undefined
    ? explainLoss(error)
    : Effect.fail(error)

/** When a call's deadline passes, as `performance.now` has it. */
export const deadlineOf = ({ deadline }: CallOptions): number =>
  deadline === undefined ? Infinity : performance.now() + Duration.toMillis(deadline)

/** The most nanoseconds that are sent: more would be none to an int64. */
const MAX_TIMEOUT = 2 ** 62

/** What is left until a deadline, in nanoseconds; 0 for no end. */
export const timeoutNano = (deadline: number): number =>
  deadline === Infinity ? 0 : Math.min(MAX_TIMEOUT, Math.max(1, Math.floor((deadline - performance.now()) * 1_000_000)))

const methods = new WeakMap<DescMethod, Buffer>()

/** The encoded name of a method. */
const encodedMethod = (method: DescMethod): Buffer => {
  const known = methods.get(method)
  if (known !== undefined) return known
  const encoded = encodeMethod(method.parent.typeName, method.name)
  methods.set(method, encoded)
  return encoded
}

/** What a request has ahead of its payload, as far as it is known before its turn. */
export const requestFields = (
  method: DescMethod,
  { metadata = noMetadata }: CallOptions,
  fiber: Fiber.Fiber<unknown, unknown>,
): Result.Result<Buffer, RpcError> =>
  Result.mapBoth(toTtrpc(metadata, traceparentOf(fiber)), {
    onFailure: (details) => failure(method, statusCode.INVALID_ARGUMENT, details),
    onSuccess: (entries) =>
      entries.length === 0 ? encodedMethod(method) : withMetadata(encodedMethod(method), entries),
  })

/** Encodes a message of a call. */
export const encoded = <M extends DescMethod>(
  method: M,
  request: RequestInit<M>,
): Result.Result<Uint8Array, RpcError> => {
  try {
    return Result.succeed(encodeMessage<M["input"]>(method.input, request))
  } catch (error) {
    return Result.fail(failure(method, statusCode.INTERNAL, `the request can't be encoded: ${String(error)}`))
  }
}

/** The error of what is too large for a frame of this side. */
export const tooLarge = (method: DescMethod, length: number, limit: number): RpcError =>
  failure(method, statusCode.RESOURCE_EXHAUSTED, `Sent message larger than max (${length} vs ${limit})`)

/** A message of the other side's, decoded. */
export const decoded = <M extends DescMethod>(method: M, bytes: Uint8Array): Result.Result<Response<M>, RpcError> => {
  try {
    return Result.succeed(decodeMessage<M["output"]>(method.output, bytes))
  } catch (error) {
    return Result.fail(failure(method, statusCode.INTERNAL, `the response can't be decoded: ${String(error)}`))
  }
}

/** What a response says: its payload, or the error that it is. */
export const answerOf = (method: DescMethod, data: Buffer): Result.Result<Uint8Array, RpcError> => {
  try {
    const { code, details, payload, statusDetails } = decodeResponse(data)
    return code === statusCode.OK
      ? Result.succeed(payload)
      : Result.fail(
          new RpcError({
            method: path(method),
            code: errorCode(code),
            details,
            ...(statusDetails !== undefined && { trailers: { [STATUS_DETAILS]: new Uint8Array(statusDetails) } }),
          }),
        )
  } catch (error) {
    return Result.fail(failure(method, statusCode.INTERNAL, `the response can't be decoded: ${String(error)}`))
  }
}

/** Calls a unary method. */
export const unary = <M extends Unary>(
  client: Client,
  method: M,
  request: RequestInit<M>,
  options: CallOptions = {},
): Effect.Effect<Response<M>, RpcError> =>
  Effect.withFiber((fiber) =>
    Effect.callback<Response<M>, RpcError>((resume) => {
      const { calls, limit } = client
      const deadline = deadlineOf(options)
      const fields = requestFields(method, options, fiber)
      if (Result.isFailure(fields)) return resume(Effect.fail(fields.failure))
      const payload = encoded(method, request)
      if (Result.isFailure(payload)) return resume(Effect.fail(payload.failure))
      let stream: number | undefined
      const envelope = {
        fields: fields.success,
        timeoutNano: timeoutNano(deadline),
        field: payloadField.request,
        payload: payload.success,
      }
      const size = headSize(envelope) + envelope.payload.length
      if (size > limit) return resume(Effect.fail(tooLarge(method, size, limit)))

      const fail = (code: number, details: string): void => {
        calls.end(call, stream, true)
        resume(tell(client, failure(method, code, details)))
      }
      const call: ClientCallState = {
        deadline,
        begin: (given) => {
          stream = given
          // It may have waited for its turn.
          envelope.timeoutNano = timeoutNano(deadline)
          calls.connection.envelope(given, frameType.REQUEST, 0, envelope)
        },
        receive: (type, _flags, data) => {
          if (type !== frameType.RESPONSE) {
            return fail(statusCode.INTERNAL, `the answer of a unary call is a frame of type ${type}`)
          }
          calls.end(call, stream, false)
          const answer = answerOf(method, data)
          resume(Effect.fromResult(Result.flatMap(answer, (bytes) => decoded(method, bytes))))
        },
        fail,
      }
      calls.start(call)
      return Effect.sync(() => calls.end(call, stream, true))
    }),
  )
