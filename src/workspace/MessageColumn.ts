import { type DescMessage, fromBinary, isMessage, type MessageShape, toBinary } from "@bufbuild/protobuf"
import { Effect, Schema, SchemaIssue, SchemaTransformation } from "effect"
import { invalidRequest, PluginApiError } from "../api/PluginApi.ts"
import { approximateBytes, describeProblem, messageProblem, type MessageProblem } from "../rpc/MessageCheck.ts"

/** What a message in a column must be, so that whoever asks for it can be sent it. */
const problemOf = <D extends DescMessage>(
  desc: D,
  message: MessageShape<D>,
  size: number,
  limit: number,
): MessageProblem | undefined =>
  size > limit ? { path: "", reason: `has ${size} bytes, and may have ${limit}` } : messageProblem(desc, message)

/**
 * A column that holds a protobuf message. Its bytes are kept rather than its fields: they also hold the fields that
 * this version of the contract does not know. A message that can't be sent on (`MessageCheck`), or is larger than
 * `limit` bytes, is none: versions before this check may have stored some.
 */
export const MessageColumn = <D extends DescMessage>(
  desc: D,
  limit: number,
): Schema.Codec<MessageShape<D>, Uint8Array> =>
  Schema.Uint8Array.pipe(
    Schema.decodeTo(
      Schema.declare((value): value is MessageShape<D> => isMessage(value, desc)),
      SchemaTransformation.transformEffect<MessageShape<D>, Uint8Array>({
        decode: Effect.fnUntraced(function* (bytes, options) {
          const wrong = (message: string) => new SchemaIssue.InvalidValue({ message }, undefined, options)
          const message = yield* Effect.try({
            try: () => fromBinary(desc, bytes),
            catch: () => wrong(`expected a ${desc.typeName}`),
          })
          const problem = problemOf(desc, message, bytes.length, limit)
          return problem === undefined ? message : yield* Effect.fail(wrong(describeProblem(problem)))
        }),
        encode: (message) => Effect.sync(() => toBinary(desc, message)),
      }),
    ),
  )

const tooLarge = (desc: DescMessage, limit: number) =>
  new PluginApiError({
    id: "app.workspace.too_large.app_error",
    message: `A ${desc.name} has up to ${limit} bytes on the wire, this one has more`,
    statusCode: 413,
  })

/**
 * Fails for a message that could not be sent on, stored, or even copied (400), or is much larger than `limit` (413):
 * who wants to know it exactly has to encode it.
 */
export const checkMessage = <D extends DescMessage>(
  desc: D,
  message: MessageShape<D>,
  limit: number,
): Effect.Effect<void, PluginApiError> =>
  Effect.suspend(() => {
    const problem = messageProblem(desc, message)
    if (problem !== undefined) return Effect.fail(invalidRequest(problem))
    return approximateBytes(desc, message) > 2 * limit ? Effect.fail(tooLarge(desc, limit)) : Effect.void
  })

/**
 * A message's bytes for a {@link MessageColumn}; one that could not be read again is refused (400, or 413 for its
 * size).
 */
export const encodeMessage = <D extends DescMessage>(
  desc: D,
  message: MessageShape<D>,
  limit: number,
): Effect.Effect<Uint8Array, PluginApiError> =>
  Effect.flatMap(checkMessage(desc, message, limit), () => {
    const bytes = toBinary(desc, message)
    return bytes.length <= limit ? Effect.succeed(bytes) : Effect.fail(tooLarge(desc, limit))
  })
