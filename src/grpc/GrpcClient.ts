import * as grpc from "@grpc/grpc-js"
import { Duration, Effect, Option, Result, type Scope } from "effect"
import { noMetadata } from "../rpc/Metadata.ts"
import type { CallOptions, ClientCall, RpcClient, UnaryAnswer } from "../rpc/RpcClient.ts"
import { RpcError, statusCode } from "../rpc/RpcError.ts"
import { path, type RequestInit, type Response, type Streaming, type Unary } from "../rpc/RpcMethod.ts"
import { clientStream, type Fail, failedCall, onlyMessage, type Open, serverStream } from "../rpc/RpcStreams.ts"
import { fromUnknown } from "./GrpcError.ts"
import { guard } from "./GrpcGuard.ts"
import { FLOW_CONTROL_WINDOW, NO_MESSAGE_LIMIT } from "./GrpcLimits.ts"
import { toGrpc } from "./GrpcMetadata.ts"
import { deserializer, serializer } from "./GrpcMethod.ts"
import { streamingCall } from "./GrpcStream.ts"
import { traceMetadata } from "./GrpcTrace.ts"
import { askedName, clientCredentials, type TlsConfig } from "./Tls.ts"

/** How a client is made. */
export interface ClientOptions {
  /** Default: in the clear. */
  readonly tls?: TlsConfig | undefined
  /** The largest message that is received, in bytes, unzipped. Default {@link NO_MESSAGE_LIMIT}. */
  readonly maxMessageSize?: number | undefined
  /**
   * Tells more of a failure, where the connection is lost: how the process on the other side ended, say. Other failures
   * are told as they are.
   */
  readonly explainLoss?: Fail | undefined
}

/**
 * How long a server that has closed its connection may take to accept the next. A server that lives does in
 * milliseconds; five seconds leave room for a busy machine.
 */
export const RECONNECT_LIMIT: Duration.Duration = Duration.seconds(5)

/** How long a lost connection is let be: a server that drops each as it comes is not connected to without pause. */
const RECONNECT_PAUSE = Duration.millis(100)

/**
 * Channel options of every connection to a plugin: no limit on what is sent (the other side has its own), no keepalive
 * pings (grpc-go servers answer frequent ones with GOAWAY), never a proxy from the environment, no sharing of a
 * connection with an earlier plugin that used the same address, and none of grpc-js' own bookkeeping (channelz).
 */
const channelOptions = (tls: TlsConfig | undefined, maxMessageSize: number): grpc.ChannelOptions => ({
  "grpc.max_receive_message_length": maxMessageSize,
  "grpc.max_send_message_length": -1,
  "grpc.enable_http_proxy": 0,
  "grpc.enable_channelz": 0,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.default_authority": "localhost",
  "grpc.ssl_target_name_override": askedName(tls),
  // A plugin's server listens before its address is known here; only a dying plugin refuses. Retry quickly so that
  // the first call does not wait for the one-second default.
  "grpc.initial_reconnect_backoff_ms": 50,
  // A connection is kept, used or not, as long as its Scope; grpc-js would drop it after half an hour without a call.
  "grpc.client_idle_timeout_ms": 2 ** 31 - 1,
  "grpc-node.flow_control_window": FLOW_CONTROL_WINDOW,
})

/** Opens a client on `target`; nothing is sent before the first call. */
export const make = (
  target: string,
  { explainLoss, maxMessageSize = NO_MESSAGE_LIMIT, tls }: ClientOptions = {},
): Effect.Effect<RpcClient, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        guard()
        return new grpc.Client(target, clientCredentials(tls), channelOptions(tls, maxMessageSize))
      }),
      (client) => Effect.sync(() => client.close()),
    ),
    (client): RpcClient => {
      const connection: Connection = { client, fail: failing(client, explainLoss) }
      const bidi: Open = (method, options) => open(connection, method, options)
      return {
        target,
        unary: (method, request, options) => unary(connection, method, request, options),
        unaryAnswer: (method, request, options) => unaryAnswer(connection, method, request, options),
        serverStream: (method, request, options) => serverStream(bidi, method, request, options),
        clientStream: (method, requests, options) => clientStream(bidi, method, requests, options),
        bidi,
        disconnected: disconnected(client),
      }
    },
  )

interface Connection {
  readonly client: grpc.Client
  readonly fail: Fail
}

const { READY, SHUTDOWN } = grpc.connectivityState

/** The state of a client's connection; `connect` has it connect where it is not. */
const stateOf = (client: grpc.Client, connect: boolean): grpc.connectivityState => {
  try {
    return client.getChannel().getConnectivityState(connect)
  } catch {
    return SHUTDOWN
  }
}

/**
 * What grpc-js says of a call that ended without a word, and takes for the other side's error. So does a call end, now and
 * then, whose connection has: then that is known a moment later.
 */
const NO_WORD = /\(Call ended without gRPC status\)$/

/** How long the news of a lost connection may take behind the end of its calls: they are a few turns of the event loop. */
const NEWS_LIMIT = Duration.millis(100)

const failing = (client: grpc.Client, explainLoss: Fail = Effect.fail): Fail => {
  const explained: Fail = (error) =>
    error.code === statusCode.UNAVAILABLE && stateOf(client, false) !== READY ? explainLoss(error) : Effect.fail(error)
  return (error) =>
    error.code === statusCode.INTERNAL && NO_WORD.test(error.details)
      ? Effect.flatMap(Effect.timeoutOption(changeFrom(client, READY), NEWS_LIMIT), (news) =>
          Option.isSome(news)
            ? explained(new RpcError({ method: error.method, code: statusCode.UNAVAILABLE, details: error.details }))
            : Effect.fail(error),
        )
      : explained(error)
}

/** Waits until the connection's state is another one. */
const changeFrom = (client: grpc.Client, state: grpc.connectivityState) =>
  Effect.callback<void>((resume) => {
    // Channels tell of what comes, not of what has been.
    if (stateOf(client, false) !== state) return resume(Effect.void)
    try {
      client.getChannel().watchConnectivityState(state, Infinity, () => resume(Effect.void))
    } catch {
      resume(Effect.void)
    }
  })

const disconnected = (client: grpc.Client): Effect.Effect<void> => {
  const connected: Effect.Effect<boolean> = Effect.suspend(() => {
    const state = stateOf(client, true)
    if (state === READY) return Effect.succeed(true)
    return state === SHUTDOWN ? Effect.succeed(false) : Effect.andThen(changeFrom(client, state), connected)
  })
  return connected.pipe(
    Effect.timeoutOrElse({ duration: RECONNECT_LIMIT, orElse: () => Effect.succeed(false) }),
    Effect.tap((isConnected) =>
      isConnected ? Effect.andThen(changeFrom(client, READY), Effect.sleep(RECONNECT_PAUSE)) : Effect.void,
    ),
    Effect.repeat({ while: (isConnected) => isConnected }),
    Effect.asVoid,
  )
}

/** The options of grpc-js. */
const callOptions = ({ deadline }: CallOptions): { readonly deadline?: number } =>
  deadline === undefined ? {} : { deadline: Date.now() + Duration.toMillis(deadline) }

/** All that goes ahead of a call: the trace it is part of, and what its caller says. */
const callMetadata = (method: string, { metadata = noMetadata }: CallOptions): Effect.Effect<grpc.Metadata, RpcError> =>
  metadata === noMetadata
    ? traceMetadata
    : Effect.flatMap(traceMetadata, (traced) =>
        Result.match(toGrpc(metadata, traced), {
          onFailure: (details) => Effect.fail(new RpcError({ method, code: statusCode.INVALID_ARGUMENT, details })),
          onSuccess: Effect.succeed,
        }),
      )

/** What is thrown by a client that was closed meanwhile. */
const closed = (method: string, error: unknown): RpcError =>
  new RpcError({ method, code: statusCode.UNAVAILABLE, details: String(error) })

const unary = <M extends Unary>(
  { client, fail }: Connection,
  method: M,
  request: RequestInit<M>,
  options: CallOptions = {},
): Effect.Effect<Response<M>, RpcError> => {
  const name = path(method)
  return Effect.flatMap(callMetadata(name, options), (metadata) =>
    Effect.callback<Response<M>, RpcError>((resume) => {
      const callSettings = callOptions(options)
      let call: grpc.ClientUnaryCall
      try {
        call = client.makeUnaryRequest(
          name,
          serializer(method.input),
          deserializer(method.output),
          request,
          metadata,
          callSettings,
          (error, response) => {
            resume(
              error === null
                ? Effect.succeed(response as Response<M>)
                : fail(fromUnknown(name, error, callSettings.deadline)),
            )
          },
        )
      } catch (error) {
        return resume(Effect.fail(closed(name, error)))
      }
      return Effect.sync(() => call.cancel())
    }),
  )
}

/**
 * Opens a call of any kind as one that streams both ways: on the wire they are the same, and only the number of messages
 * that either side sends differs.
 */
const open = <M extends Unary | Streaming>(
  { client, fail }: Connection,
  method: M,
  options: CallOptions = {},
): Effect.Effect<ClientCall<RequestInit<M>, Response<M>>, never, Scope.Scope> => {
  const name = path(method)
  const opened = Effect.flatMap(callMetadata(name, options), (metadata) =>
    Effect.try({
      try: () => {
        const callSettings = callOptions(options)
        const call = client.makeBidiStreamRequest(
          name,
          serializer(method.input),
          deserializer(method.output),
          metadata,
          callSettings,
        )
        return { call, stream: streamingCall<RequestInit<M>, Response<M>>(name, call, fail, callSettings.deadline) }
      },
      catch: (error) => closed(name, error),
    }),
  )
  return Effect.acquireRelease(opened, ({ call }) => Effect.sync(() => call.cancel())).pipe(
    Effect.map(({ stream }) => stream),
    Effect.catch((error) => Effect.succeed(failedCall(error))),
  )
}

const unaryAnswer = <M extends Unary>(
  connection: Connection,
  method: M,
  request: RequestInit<M>,
  options?: CallOptions,
): Effect.Effect<UnaryAnswer<Response<M>>, RpcError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const call = yield* open(connection, method, options)
      // What keeps it from being sent ends the call, and is its error.
      yield* Effect.ignore(call.send(request))
      yield* call.end
      const message = yield* onlyMessage(path(method), call)
      return { message, headers: yield* call.headers, trailers: yield* call.trailers }
    }),
  )
