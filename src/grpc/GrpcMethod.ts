import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf"
import { decodeMessage, encodeMessage } from "../rpc/WireCheck.ts"

const buffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Serializes a message, or a plain object of a message's fields, to the buffer grpc-js wants. */
export const serializer =
  <D extends DescMessage>(schema: D) =>
  (value: MessageInitShape<D>): Buffer =>
    buffer(encodeMessage(schema, value))

/** Decodes a message; grpc-js turns what it throws into the call's status. */
export const deserializer =
  <D extends DescMessage>(schema: D) =>
  (bytes: Buffer): MessageShape<D> =>
    decodeMessage(schema, bytes)
