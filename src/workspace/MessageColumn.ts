import { type DescMessage, fromBinary, isMessage, type MessageShape, toBinary } from "@bufbuild/protobuf"
import { Effect, Schema, SchemaIssue, SchemaTransformation } from "effect"

/**
 * A column that holds a protobuf message. Its bytes are kept rather than its fields: they also hold the fields that
 * this version of the contract does not know.
 */
export const MessageColumn = <D extends DescMessage>(desc: D): Schema.Codec<MessageShape<D>, Uint8Array> =>
  Schema.Uint8Array.pipe(
    Schema.decodeTo(
      Schema.declare((value): value is MessageShape<D> => isMessage(value, desc)),
      SchemaTransformation.transformEffect<MessageShape<D>, Uint8Array>({
        decode: (bytes, options) =>
          Effect.try({
            try: () => fromBinary(desc, bytes),
            catch: () => new SchemaIssue.InvalidValue({ message: `expected a ${desc.typeName}` }, bytes, options),
          }),
        encode: (message) => Effect.sync(() => toBinary(desc, message)),
      }),
    ),
  )
