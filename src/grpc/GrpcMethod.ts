import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf"
import { decodeMessage } from "../rpc/WireCheck.ts"

/** The rpcs of a generated service, by their camelCase names. */
export type Methods<S extends DescService> = S["method"]

/** The names of a service's unary rpcs. */
export type UnaryName<S extends DescService> = {
  readonly [K in keyof Methods<S>]: Methods<S>[K] extends { methodKind: "unary" } ? K : never
}[keyof Methods<S>] &
  string

/** What a caller passes for a method's request: a message or a plain object of its fields. */
export type RequestInit<M extends DescMethod> = MessageInitShape<M["input"]>
/** A method's decoded request. */
export type Request<M extends DescMethod> = MessageShape<M["input"]>
/** What a handler answers: a message or a plain object of its fields. */
export type ResponseInit<M extends DescMethod> = MessageInitShape<M["output"]>
/** A method's decoded response. */
export type Response<M extends DescMethod> = MessageShape<M["output"]>

export type Unary<I extends DescMessage = DescMessage, O extends DescMessage = DescMessage> = DescMethodUnary<I, O>
export type ServerStreaming<
  I extends DescMessage = DescMessage,
  O extends DescMessage = DescMessage,
> = DescMethodServerStreaming<I, O>
export type ClientStreaming<
  I extends DescMessage = DescMessage,
  O extends DescMessage = DescMessage,
> = DescMethodClientStreaming<I, O>
export type BidiStreaming<
  I extends DescMessage = DescMessage,
  O extends DescMessage = DescMessage,
> = DescMethodBiDiStreaming<I, O>

/** A method that streams in at least one direction. */
export type Streaming = ClientStreaming | ServerStreaming | BidiStreaming

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
