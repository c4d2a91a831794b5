import type { Duplex } from "node:stream"
import { Context, type Effect, Schema, type Scope } from "effect"
import type { ServiceImplementation } from "./RpcHandler.ts"

/** Where a server listens: a unix socket's path, or a TCP port on the loopback interface (0 picks a free one). */
export type ListenAddress = { readonly unix: string } | { readonly loopbackPort: number }

/** The server could not listen. */
export class RpcServerError extends Schema.TaggedError<RpcServerError>()("RpcServerError", {
  address: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `can't listen on ${this.address}: ${this.reason}`
  }
}

/** Serves services: by gRPC where others connect, by ttrpc on a connection that they have inherited. */
export class RpcServer extends Context.Service<
  RpcServer,
  {
    /** Serves on one address until the Scope closes, and answers where clients find it. `maxMessageSize` is in bytes. */
    readonly serve: (
      address: ListenAddress,
      services: ReadonlyArray<ServiceImplementation>,
      options: { readonly maxMessageSize: number },
    ) => Effect.Effect<string, RpcServerError, Scope.Scope>
    /** Serves on a connection that is there already, until it ends or the Scope closes. */
    readonly serveOn: (
      connection: Duplex,
      services: ReadonlyArray<ServiceImplementation>,
      options: { readonly maxMessageSize: number },
    ) => Effect.Effect<void, never, Scope.Scope>
  }
>()("effect-plugin-supervisor/rpc/RpcServer") {}
