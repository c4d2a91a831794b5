import { realpath } from "node:fs/promises"
import { BlockList, isIP } from "node:net"
import { basename, dirname, join, normalize, sep } from "node:path"
import { Effect } from "effect"
import { format, type SocketAddress } from "./SocketAddress.ts"
import { socketOwner } from "./SocketOwner.ts"

/** Whose address it should be. */
export interface AddressOwner {
  /** The process; one of its group may listen as well. */
  readonly pid: number
  /** The folders that the plugin's sockets are in. */
  readonly folders: ReadonlyArray<string>
  /** Whether it may be anybody's. */
  readonly allowForeignAddress: boolean
}

/**
 * Checks that an address that a plugin names is its own: a path in its socket folder, or on Linux a socket that the
 * plugin itself listens on; and of TCP only this machine's own. Otherwise a plugin could have its host take another's
 * plugin for it, call that, and end it. A plugin that means to can still hand everything on to another: this is for
 * mistakes and for those that don't. Answers what is wrong.
 */
export const checkAddress = Effect.fnUntraced(function* (
  address: SocketAddress,
  { allowForeignAddress, folders, pid }: AddressOwner,
): Effect.fn.Return<string | undefined> {
  if (allowForeignAddress) return undefined
  if ("port" in address) {
    if (!isLoopback(address.host)) return foreign(address, "which is not this machine's own")
    return (yield* socketOwner(address, pid, { group: true })) === "foreign"
      ? foreign(address, "where another process listens")
      : undefined
  }
  const path = yield* resolved(address.path)
  const own = yield* Effect.forEach(folders, resolved, { concurrency: "unbounded" })
  if (own.some((folder) => path.startsWith(`${folder}${sep}`))) return undefined
  if ((yield* socketOwner(address, pid, { group: true })) === "own") return undefined
  return foreign(address, `which is not in its socket folder, ${folders.join(" or ")}`)
})

const foreign = (address: SocketAddress, why: string): string =>
  `${format(address).String}, ${why}: it may be another's. Plugins put their sockets into the folder that PLUGIN_UNIX_SOCKET_DIR names, as go-plugin 1.5 and newer do; for one that can't, set allowForeignAddress`

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4")
LOOPBACK.addAddress("::1", "ipv6")
// What listens on every interface is reached here.
LOOPBACK.addAddress("0.0.0.0", "ipv4")
LOOPBACK.addAddress("::", "ipv6")

const isLoopback = (host: string): boolean =>
  host === "localhost" || (isIP(host) !== 0 && LOOPBACK.check(host, isIP(host) === 6 ? "ipv6" : "ipv4"))

/** A path without links; of what is not there yet, as far as it is. */
const resolved = (path: string): Effect.Effect<string> =>
  Effect.promise(() =>
    realpath(path)
      .catch(async () => join(await realpath(dirname(path)), basename(path)))
      .catch(() => normalize(path)),
  )
