import * as grpc from "@grpc/grpc-js"
import { Duration, Effect, Option, type Scope, Stream } from "effect"
import { fromUnknown, GrpcError, statusCode } from "./GrpcError.ts"
import {
  type BidiStreaming,
  type ClientStreaming,
  deserializer,
  path,
  type RequestInit,
  type Response,
  serializer,
  type ServerStreaming,
  type Streaming,
  type Unary,
} from "./GrpcMethod.ts"
import { type BidiCall, bidiCall, messages } from "./GrpcStream.ts"
import { traceMetadata } from "./GrpcTrace.ts"
import { clientCredentials, DEFAULT_SERVER_NAME, type TlsConfig } from "./Tls.ts"

/** A connection to one gRPC server; connects lazily and closes with its Scope. */
export interface GrpcClient {
  /** grpc-js target, for example `unix:/run/x/plugin.sock` or `127.0.0.1:1234`. */
  readonly target: string
  /** Calls a unary method. `deadline` bounds the whole call, connecting included; omitted, only interruption does. */
  readonly unary: <M extends Unary>(
    method: M,
    request: RequestInit<M>,
    options?: { readonly deadline?: Duration.Input },
  ) => Effect.Effect<Response<M>, GrpcError>
  /** Opens a server stream; it is cancelled when the returned stream is no longer consumed. */
  readonly serverStream: <M extends ServerStreaming>(
    method: M,
    request: RequestInit<M>,
  ) => Stream.Stream<Response<M>, GrpcError>
  /** Sends a stream of messages, as fast as the server takes them, and answers the one response. */
  readonly clientStream: <M extends ClientStreaming, E, R>(
    method: M,
    requests: Stream.Stream<RequestInit<M>, E, R>,
  ) => Effect.Effect<Response<M>, GrpcError | E, R>
  /** Opens a bidirectional stream; it is cancelled when the Scope closes before the call has ended. */
  readonly bidi: <M extends BidiStreaming>(
    method: M,
  ) => Effect.Effect<BidiCall<RequestInit<M>, Response<M>>, never, Scope.Scope>
}

/**
 * Channel options of every connection to a plugin: no message limits on our side (go-plugin's host has none either),
 * no keepalive pings (grpc-go servers answer frequent ones with GOAWAY), never a proxy from the environment, and no
 * sharing of a connection with an earlier plugin that used the same address.
 */
const channelOptions = (tls: TlsConfig | undefined): grpc.ChannelOptions => ({
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  "grpc.enable_http_proxy": 0,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.default_authority": "localhost",
  "grpc.ssl_target_name_override": tls?.serverName ?? DEFAULT_SERVER_NAME,
  // A plugin's server listens before its address is known here; only a dying plugin refuses. Retry quickly so that
  // the first call does not wait for the one-second default.
  "grpc.initial_reconnect_backoff_ms": 50,
})

/** Opens a client on `target`, in the clear unless `tls` is given; nothing is sent before the first call. */
export const make = (target: string, tls?: TlsConfig): Effect.Effect<GrpcClient, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new grpc.Client(target, clientCredentials(tls), channelOptions(tls))),
      (client) => Effect.sync(() => client.close()),
    ),
    (client) => ({
      target,
      unary: (method, request, options) => unary(client, method, request, options?.deadline),
      serverStream: (method, request) => serverStream(client, method, request),
      clientStream: (method, requests) => clientStream(client, method, requests),
      bidi: (method) => open(client, method),
    }),
  )

const unary = <M extends Unary>(
  client: grpc.Client,
  method: M,
  request: RequestInit<M>,
  deadline: Duration.Input | undefined,
): Effect.Effect<Response<M>, GrpcError> =>
  Effect.flatMap(traceMetadata, (metadata) =>
    Effect.callback<Response<M>, GrpcError>((resume) => {
      const name = path(method)
      const options: grpc.CallOptions =
        deadline === undefined ? {} : { deadline: Date.now() + Duration.toMillis(deadline) }
      let call: grpc.ClientUnaryCall
      try {
        call = client.makeUnaryRequest(
          name,
          serializer(method.input),
          deserializer(method.output),
          request,
          metadata,
          options,
          (error, response) => {
            resume(error === null ? Effect.succeed(response as Response<M>) : Effect.fail(fromUnknown(name, error)))
          },
        )
      } catch (error) {
        // The client was closed meanwhile.
        return resume(
          Effect.fail(new GrpcError({ method: name, code: statusCode.UNAVAILABLE, details: String(error) })),
        )
      }
      return Effect.sync(() => call.cancel())
    }),
  )

/**
 * Opens a stream of any kind as a bidirectional one: on the wire they are the same, and only the number of messages
 * that either side sends differs.
 */
const open = <M extends Streaming>(
  client: grpc.Client,
  method: M,
): Effect.Effect<BidiCall<RequestInit<M>, Response<M>>, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(traceMetadata, (metadata) => {
      const call = client.makeBidiStreamRequest(
        path(method),
        serializer(method.input),
        deserializer(method.output),
        metadata,
      )
      return { call, stream: bidiCall<any, any>(path(method), call) }
    }),
    ({ call }) => Effect.sync(() => call.cancel()),
  ).pipe(Effect.map(({ stream }) => stream))

const serverStream = <M extends ServerStreaming>(
  client: grpc.Client,
  method: M,
  request: RequestInit<M>,
): Stream.Stream<Response<M>, GrpcError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const call = yield* open(client, method)
      // What keeps it from being sent ends the call, and is the stream's own error.
      yield* Effect.ignore(call.send(request))
      yield* call.end
      return messages(call)
    }),
  )

const clientStream = <M extends ClientStreaming, E, R>(
  client: grpc.Client,
  method: M,
  requests: Stream.Stream<RequestInit<M>, E, R>,
): Effect.Effect<Response<M>, GrpcError | E, R> =>
  Effect.scoped(
    Effect.gen(function* () {
      const call = yield* open(client, method)
      // A server may answer before it has taken everything; what is left then is not sent, and the answer counts.
      const send = (message: RequestInit<M>) => Effect.catch(call.send(message), () => Effect.never)
      const sending = Stream.runForEach(requests, send).pipe(Effect.andThen(call.end), Effect.andThen(Effect.never))
      const answer = Effect.flatMap(
        call.receive,
        Option.match({
          onNone: () => Effect.fail(fromUnknown(path(method), new Error("the call ended without a response"))),
          onSome: Effect.succeed,
        }),
      )
      return yield* Effect.raceFirst(answer, sending)
    }),
  )
