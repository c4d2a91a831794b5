import type { DescMethod, DescService } from "@bufbuild/protobuf"
import type { Effect, Stream } from "effect"
import type { Metadata } from "./Metadata.ts"
import type { BidiCall } from "./RpcClient.ts"
import type { RpcError, RpcStatus } from "./RpcError.ts"
import type { Request, ResponseInit } from "./RpcMethod.ts"

/**
 * What a handler may know and say of the call that it handles, beside its messages. Over ttrpc, which has no metadata of
 * answers, nothing of what it says is sent.
 */
export interface CallContext {
  /** What the caller sent along. */
  readonly metadata: Metadata
  /** Sends metadata ahead of the first message; once that is sent it is too late, and nothing happens. */
  readonly sendHeaders: (metadata: Metadata) => Effect.Effect<void, RpcStatus>
  /** What is sent with the end of a call that ends well. For one that fails, see `RpcStatus`. */
  readonly setTrailers: (metadata: Metadata) => Effect.Effect<void, RpcStatus>
}

/**
 * The handler of one rpc: it is handed a message or the stream of them, and answers a message or a stream of them;
 * bidirectional ones talk over the call until they return.
 */
export type Handler<M extends DescMethod, R = never> = M extends { methodKind: "unary" }
  ? (request: Request<M>, context: CallContext) => Effect.Effect<ResponseInit<M>, RpcStatus, R>
  : M extends { methodKind: "server_streaming" }
    ? (request: Request<M>, context: CallContext) => Stream.Stream<ResponseInit<M>, RpcStatus, R>
    : M extends { methodKind: "client_streaming" }
      ? (
          requests: Stream.Stream<Request<M>, RpcError>,
          context: CallContext,
        ) => Effect.Effect<ResponseInit<M>, RpcStatus, R>
      : (
          call: BidiCall<ResponseInit<M>, Request<M>>,
          context: CallContext,
        ) => Effect.Effect<void, RpcStatus | RpcError, R>

/** Handlers by rpc name; an rpc without one answers UNIMPLEMENTED. */
export type Handlers<S extends DescService, R = never> = {
  readonly [K in keyof S["method"]]?: Handler<S["method"][K], R>
}

/** A service and its handlers, ready to be served. */
export interface ServiceImplementation<R = never> {
  readonly service: DescService
  readonly handlers: { readonly [name: string]: unknown }
  readonly _R?: (_: never) => R
}

/** Pairs a generated service with its handlers. */
export const implement = <S extends DescService, R = never>(
  service: S,
  handlers: Handlers<S, R>,
): ServiceImplementation<R> => ({ service, handlers: handlers })
