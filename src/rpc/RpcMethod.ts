import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf"

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

/** A method's name on the wire, as gRPC has it in its path: `/mattermost.pluginapi.v1.PluginHooks/OnActivate`. */
export const path = (method: DescMethod): string => `/${method.parent.typeName}/${method.name}`
