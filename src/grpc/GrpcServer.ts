import { chmod } from "node:fs/promises"
import { createServer, type AddressInfo, type Server, type Socket } from "node:net"
import * as grpc from "@grpc/grpc-js"
import { Duration, Effect, type Scope } from "effect"
import { runner } from "../rpc/HandlerRun.ts"
import { definitions, transport } from "./GrpcHandler.ts"
import type { ServiceImplementation } from "../rpc/RpcHandler.ts"
import { type ListenAddress, RpcServerError } from "../rpc/RpcServer.ts"
import { MAX_CONCURRENT_STREAMS } from "../rpc/RpcLimits.ts"
import { MAX_CONNECTIONS, NO_MESSAGE_LIMIT } from "./GrpcLimits.ts"
import { guard } from "./GrpcGuard.ts"
import { serverCredentials, type TlsConfig } from "./Tls.ts"

/** How a server is made. */
export interface ServerOptions {
  /** Default: in the clear. With it only clients of its authorities are let in. */
  readonly tls?: TlsConfig | undefined
  /** The largest message that is received, in bytes, unzipped. Default {@link NO_MESSAGE_LIMIT}. */
  readonly maxMessageSize?: number | undefined
  /**
   * Whether what serves is made for the first connection: for an address at which hardly anybody ever connects. Services that
   * can't be served end each connection then, where otherwise nothing is served. Default false.
   */
  readonly isSeldomUsed?: boolean | undefined
}

/**
 * Unix socket paths longer than this are cut off silently by Node: 108 bytes of `sun_path` on Linux and 104 on macOS,
 * less the closing NUL.
 */
export const MAX_UNIX_SOCKET_PATH = process.platform === "linux" ? 107 : 103

/**
 * How long connections may end by themselves when the server's Scope closes, with the answers that are on their way. A
 * client that is well needs milliseconds; one that is not, or is no client at all, is cut off.
 */
export const CLOSE_GRACE: Duration.Duration = Duration.millis(500)

/**
 * Serves services on one address until the Scope closes, and answers the grpc-js target that reaches it. A unix socket
 * is for the host's user only (0600). Handlers run in the caller's context; a handler's fiber is interrupted when its
 * call is cancelled and when the Scope closes. Closing is bounded, whatever the clients do: see {@link CLOSE_GRACE}.
 */
export const serve = <R = never>(
  address: ListenAddress,
  services: ReadonlyArray<ServiceImplementation<R>>,
  { isSeldomUsed = false, maxMessageSize = NO_MESSAGE_LIMIT, tls }: ServerOptions = {},
): Effect.Effect<string, RpcServerError, R | Scope.Scope> =>
  Effect.gen(function* () {
    const target = "unix" in address ? `unix:${address.unix}` : `127.0.0.1:${address.loopbackPort}`
    const refuse = (reason: string) => new RpcServerError({ address: target, reason })
    if ("unix" in address && Buffer.byteLength(address.unix) > MAX_UNIX_SOCKET_PATH) {
      return yield* refuse(`the path is longer than ${MAX_UNIX_SOCKET_PATH} bytes; use a shorter temporary folder`)
    }
    guard()
    const context = yield* Effect.context<R>()
    const run = runner(context, yield* Effect.scope, transport)
    const make = (): Made => {
      const server = new grpc.Server({
        "grpc.max_receive_message_length": maxMessageSize,
        "grpc.max_send_message_length": -1,
        "grpc.max_concurrent_streams": MAX_CONCURRENT_STREAMS,
        "grpc.enable_channelz": 0,
      })
      for (const [definition, implementation] of definitions(services, run)) {
        server.addService(definition, implementation)
      }
      return { server, injector: server.createConnectionInjector(serverCredentials(tls)) }
    }
    let made: Made | undefined = isSeldomUsed
      ? undefined
      : yield* Effect.try({
          try: make,
          catch: (error) => refuse(error instanceof Error ? error.message : String(error)),
        })
    const sockets = new Set<Socket>()
    const listener = createServer((socket) => {
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
      // The connection ends with it, and so do its calls.
      socket.on("error", () => {})
      try {
        made ??= make()
      } catch (error) {
        socket.destroy(error as Error)
        return
      }
      made.injector.injectConnection(socket)
    })
    listener.maxConnections = MAX_CONNECTIONS
    yield* Effect.acquireRelease(
      Effect.mapError(listen(listener, address), ({ message }) => refuse(message)),
      () => close(listener, made, sockets),
    )
    if (!("unix" in address)) return `127.0.0.1:${(listener.address() as AddressInfo).port}`
    yield* Effect.tryPromise({
      try: () => chmod(address.unix, 0o600),
      catch: (error) => refuse(`its mode can't be set: ${String(error)}`),
    })
    return target
  })

/** What serves. */
interface Made {
  readonly server: grpc.Server
  readonly injector: grpc.ConnectionInjector
}

const listen = (listener: Server, address: ListenAddress): Effect.Effect<void, Error> =>
  Effect.callback<void, Error>((resume) => {
    // It stays: whatever keeps a connection from being accepted later, the server goes on.
    listener.on("error", (error) => resume(Effect.fail(error)))
    listener.listen(
      "unix" in address ? { path: address.unix } : { host: "127.0.0.1", port: address.loopbackPort },
      () => resume(Effect.void),
    )
  })

/**
 * Stops listening, tells the clients so (GOAWAY), and waits for their connections to end, at most {@link CLOSE_GRACE};
 * what is left then is cut off. The sockets say what is left: of its sessions grpc-js (1.14) loses those that end by an
 * error while they are being closed, as happens with every client on grpc-go that closes its connection at the same
 * time, and waits for them for ever.
 */
const close = (listener: Server, made: Made | undefined, sockets: ReadonlySet<Socket>): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const finish = () => {
      clearTimeout(cutOff)
      for (const socket of sockets) socket.destroy()
      ignoringErrors(() => made?.server.forceShutdown())
      resume(Effect.void)
    }
    const cutOff = setTimeout(finish, Duration.toMillis(CLOSE_GRACE))
    // Called back when the last connection has ended.
    listener.close(finish)
    // It throws for a session that is ending just then.
    ignoringErrors(() => made?.injector.destroy())
  })

const ignoringErrors = (step: () => void): void => {
  try {
    step()
  } catch {
    // There is nothing left to be told of it.
  }
}
