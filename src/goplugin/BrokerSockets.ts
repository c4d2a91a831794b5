import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { Effect } from "effect"
import { serve } from "../grpc/GrpcServer.ts"
import { BrokerError, type BrokerTransport } from "./Broker.ts"
import { type AddressOwner, checkAddress } from "./AddressCheck.ts"
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
  plugin: AddressOwner,
): BrokerTransport => ({
  onMessage: () => Effect.succeed(false),
  listen: Effect.fnUntraced(function* (id, services, options) {
    if (process.platform === "win32") {
      return { serviceId: id, network: "tcp", address: yield* serve({ loopbackPort: 0 }, services, options) }
    }
    const address = join(socketDirectory, `broker${randomBytes(5).toString("hex")}`)
    yield* serve({ unix: address }, services, options)
    yield* SocketDirectory.share(address, socketGroup, 0o660)
    return { serviceId: id, network: "unix", address }
  }),
  dial: Effect.fnUntraced(function* (id, wire) {
    const { address, network } = yield* wire.answer(id, "word of where the plugin serves it")
    const parsed = SocketAddress.parse(network, address)
    const refuse = (detail: string) => new BrokerError({ pluginId, id, kind: "refused", detail })
    if (typeof parsed === "string") return yield* refuse(parsed)
    const foreign = yield* checkAddress(parsed, plugin)
    if (foreign !== undefined) return yield* refuse(`the plugin says that it serves it at ${foreign}`)
    return SocketAddress.target(parsed)
  }),
})
