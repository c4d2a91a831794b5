import { type Duration, Effect, Option, type Scope, Stream } from "effect"
import type { Metadata } from "./Metadata.ts"
import type { RpcError } from "./RpcError.ts"
import type { ClientStreaming, RequestInit, Response, ServerStreaming, Streaming, Unary } from "./RpcMethod.ts"

/** What may be said of any call. */
export interface CallOptions {
  /** Bounds the whole call, connecting included. Omitted, only interruption does. */
  readonly deadline?: Duration.Input | undefined
  /** Sent ahead of the call's messages. What can't be sent fails the call with INVALID_ARGUMENT. */
  readonly metadata?: Metadata | undefined
}

/** A unary call's answer with all that came along. */
export interface UnaryAnswer<Message> {
  readonly message: Message
  readonly headers: Metadata
  readonly trailers: Metadata
}

/** A connection to one server, whatever it speaks; it closes with its Scope. */
export interface RpcClient {
  /** Where the server is, for example `unix:/run/x/plugin.sock` or `127.0.0.1:1234`. */
  readonly target: string
  /** Calls a unary method. */
  readonly unary: <M extends Unary>(
    method: M,
    request: RequestInit<M>,
    options?: CallOptions,
  ) => Effect.Effect<Response<M>, RpcError>
  /** As `unary`, and answers the metadata that came with the response. */
  readonly unaryAnswer: <M extends Unary>(
    method: M,
    request: RequestInit<M>,
    options?: CallOptions,
  ) => Effect.Effect<UnaryAnswer<Response<M>>, RpcError>
  /** Opens a server stream; it is cancelled when the returned stream is no longer consumed. */
  readonly serverStream: <M extends ServerStreaming>(
    method: M,
    request: RequestInit<M>,
    options?: CallOptions,
  ) => Stream.Stream<Response<M>, RpcError>
  /** Sends a stream of messages, as fast as the server takes them, and answers the one response. */
  readonly clientStream: <M extends ClientStreaming, E, R>(
    method: M,
    requests: Stream.Stream<RequestInit<M>, E, R>,
    options?: CallOptions,
  ) => Effect.Effect<Response<M>, RpcError | E, R>
  /**
   * Opens a stream to be talked over in any order, of whatever directions; it is cancelled when the Scope closes before
   * the call has ended. One that can't be opened fails with whatever is done first.
   */
  readonly bidi: <M extends Streaming>(
    method: M,
    options?: CallOptions,
  ) => Effect.Effect<ClientCall<RequestInit<M>, Response<M>>, never, Scope.Scope>
  /**
   * Waits until the connection is lost and can't be made again within the limit of the transport; a server that closes a
   * connection and takes the next one is not lost. Connects, where nothing has yet.
   */
  readonly disconnected: Effect.Effect<void>
}

/** Both directions of one streaming call, with back-pressure: nothing is buffered beyond the transport's own small window. */
export interface BidiCall<in Send, out Receive> {
  /** Sends a message; returns when the transport has taken it. */
  readonly send: (message: Send) => Effect.Effect<void, RpcError>
  /** Half-closes our direction. */
  readonly end: Effect.Effect<void>
  /** The next message; `None` once the other side has ended with OK. One fiber at a time may receive. */
  readonly receive: Effect.Effect<Option.Option<Receive>, RpcError>
}

/** A streaming call as its client sees it. */
export interface ClientCall<in Send, out Receive> extends BidiCall<Send, Receive> {
  /**
   * The metadata ahead of the first message; waits for it, and fails with the call. Servers may send it with their first
   * message only (grpc-go does), and none where there is no message.
   */
  readonly headers: Effect.Effect<Metadata, RpcError>
  /**
   * The metadata that came with the end; waits for it, and fails with the call, whose error has them then. The end comes
   * after all messages, so whoever does not receive those waits for ever.
   */
  readonly trailers: Effect.Effect<Metadata, RpcError>
}

/** What is received, until the other side has ended. */
export const messages = <Receive>({
  receive,
}: Pick<BidiCall<never, Receive>, "receive">): Stream.Stream<Receive, RpcError> =>
  Stream.unfold(undefined, () =>
    Effect.map(receive, Option.match({ onNone: () => undefined, onSome: (message) => [message, undefined] as const })),
  )
