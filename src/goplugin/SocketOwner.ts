import { readdir, readFile, readlink } from "node:fs/promises"
import { Effect } from "effect"
import { type SocketAddress, format } from "./SocketAddress.ts"

/**
 * Who listens at an address, as far as Linux' /proc tells: those who are asked about; somebody else; or nobody knows, as
 * with other users' processes, in other namespaces, and on other systems.
 */
export type SocketOwner = "own" | "foreign" | "unknown"

/** Asks whether it is a process that listens at an address; with `group`, it or one of its process group. */
export const socketOwner = (
  address: SocketAddress,
  pid: number,
  { group }: { readonly group: boolean },
): Effect.Effect<SocketOwner> =>
  Effect.promise(async () => {
    try {
      const listening = await ("path" in address ? unixInodes(address) : tcpInodes(address.port))
      if (listening.length === 0) return "unknown"
      const held = await heldSockets(group ? await groupOf(pid) : [String(pid)])
      // Where an address is listened at twice (a path that was moved away, say) nobody knows which is reached.
      return listening.every((inode) => held.has(inode)) ? "own" : "foreign"
    } catch {
      return "unknown"
    }
  })

/** The inodes of sockets that listen at a path. The kernel tells the path that each was bound to. */
const unixInodes = async (address: SocketAddress & { readonly path: string }): Promise<ReadonlyArray<string>> => {
  const bound = format(address).String
  // Num RefCount Protocol Flags Type St Inode Path (proc_net(5)); the flag is __SO_ACCEPTCON.
  return (await readFile("/proc/net/unix", "utf8"))
    .split("\n")
    .map((line) => /^\S+ \S+ \S+ (?<flags>\S+) \S+ \S+ +(?<inode>\d+) (?<path>.*)$/.exec(line)?.groups)
    .flatMap((socket) =>
      socket !== undefined && socket["path"] === bound && (Number.parseInt(socket["flags"]!, 16) & 0x10000) !== 0
        ? [socket["inode"]!]
        : [],
    )
}

/** What the kernel calls a TCP socket that listens. */
const LISTEN = "0A"

/** Every interface, and this machine's own, as the kernel writes them: each four bytes in its own order (here little). */
const ANY_OR_LOOPBACK = /^(0{8}|0{32}|[0-9A-F]{6}7F|0{24}01000000)$/

/** The inodes of sockets that listen on a port where this machine's own interface is reached. */
const tcpInodes = async (port: number): Promise<ReadonlyArray<string>> => {
  const tables = await Promise.all(["tcp", "tcp6"].map((table) => readFile(`/proc/net/${table}`, "utf8")))
  const hex = port.toString(16).toUpperCase().padStart(4, "0")
  // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode (proc_net(5)).
  return tables
    .flatMap((table) => table.split("\n"))
    .map((line) => line.trim().split(/\s+/))
    .flatMap(([, local = "", , state, , , , , , inode = ""]) => {
      const [host = "", localPort] = local.split(":")
      return state === LISTEN && localPort === hex && ANY_OR_LOOPBACK.test(host) ? [inode] : []
    })
}

/** The processes of a process' group, itself among them. */
const groupOf = async (pid: number): Promise<ReadonlyArray<string>> => {
  const groupId = async (pid: string) => {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "")
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]
  }
  const own = await groupId(String(pid))
  if (own === undefined) return []
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name))
  const groups = await Promise.all(pids.map(groupId))
  return pids.filter((_, index) => groups[index] === own)
}

/** The inodes of the sockets that processes hold. Throws where one can't be looked at. */
const heldSockets = async (pids: ReadonlyArray<string>): Promise<ReadonlySet<string>> => {
  const held = new Set<string>()
  for (const pid of pids) {
    const folder = `/proc/${pid}/fd`
    const targets = (await readdir(folder)).map((fd) => readlink(`${folder}/${fd}`).catch(() => ""))
    for (const target of await Promise.all(targets)) {
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1]
      if (inode !== undefined) held.add(inode)
    }
  }
  return held
}
