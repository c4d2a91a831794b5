import {
  create,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf"
import { decodeMessage } from "../rpc/WireCheck.ts"

/** A method's HTTP/2 path. */
export const path = (method: DescMethod): string => `/${method.parent.typeName}/${method.name}`

const buffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Serializes a message, or a plain object of a message's fields, to the buffer grpc-js wants. */
export const serializer =
  <D extends DescMessage>(schema: D) =>
  (value: MessageInitShape<D>): Buffer =>
    buffer(toBinary(schema, create(schema, value)))

/** Decodes a message; grpc-js turns what it throws into the call's status. */
export const deserializer =
  <D extends DescMessage>(schema: D) =>
  (bytes: Buffer): MessageShape<D> =>
    decodeMessage(schema, bytes)
