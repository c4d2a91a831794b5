import { isIP } from "node:net"
import { Effect } from "effect"
import { HttpServer } from "effect/http"

/** Addresses that stand for all of the machine's; nobody reaches it by them. */
const ANY_ADDRESS: ReadonlySet<string> = new Set(["0.0.0.0", "::"])

/** Whether an address stands for all of the machine's. */
export const isAnyAddress = (host: string): boolean => ANY_ADDRESS.has(host)

/** Where a host that listens on an address is reached from this machine. */
export const baseUrl = (host: string): Effect.Effect<string, never, HttpServer.HttpServer> =>
  Effect.map(HttpServer.HttpServer, ({ address }) => {
    const name = isAnyAddress(host) ? "localhost" : isIP(host) === 6 ? `[${host}]` : host
    return `http://${name}:${"port" in address ? address.port : 0}`
  })
