import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { Effect } from "effect"
import { serve } from "../grpc/GrpcServer.ts"
import { BrokerError, type BrokerTransport } from "./Broker.ts"
import * as SocketAddress from "./SocketAddress.ts"
import * as SocketDirectory from "./SocketDirectory.ts"

/**
 * Brokered connections over sockets of their own (go-plugin 1.8, `grpc_broker.go`, without multiplexing): whoever serves
 * listens on a new socket and announces its address.
 */
export const make = (
  pluginId: string,
  socketDirectory: string,
  socketGroup: string | number | undefined,
): BrokerTransport => ({
  onMessage: () => Effect.succeed(false),
  listen: Effect.fnUntraced(function* (id, services, tls) {
    if (process.platform === "win32") {
      return { serviceId: id, network: "tcp", address: yield* serve({ loopbackPort: 0 }, services, tls) }
    }
    const address = join(socketDirectory, `broker${randomBytes(5).toString("hex")}`)
    yield* serve({ unix: address }, services, tls)
    yield* SocketDirectory.share(address, socketGroup, 0o660)
    return { serviceId: id, network: "unix", address }
  }),
  dial: Effect.fnUntraced(function* (id, wire) {
    const { address, network } = yield* wire.answer(id, "word of where the plugin serves it")
    const parsed = SocketAddress.parse(network, address)
    if (typeof parsed === "string") return yield* new BrokerError({ pluginId, id, kind: "refused", detail: parsed })
    return SocketAddress.target(parsed)
  }),
})
