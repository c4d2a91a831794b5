import { existsSync, readFileSync, readlinkSync } from "node:fs"
import { hasProcessTable, startOf } from "./ProcessTable.ts"

/**
 * Names this process so that no other can be taken for it: by the machine's boot, the namespaces that its ids and times
 * count in (containers may share a view of /proc, or of the control groups), its id, and when it was started. Where
 * there is no /proc it has no name.
 */
export const hostIdentity = (): string | undefined => {
  if (!hasProcessTable()) return undefined
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim().replaceAll("-", "")
    const name = [boot, namespace("pid"), namespace("time"), process.pid, startOf(process.pid)].join("-")
    return IDENTITY.test(name) ? name : undefined
  } catch {
    return undefined
  }
}

/** A namespace's number, out of `pid:[4026531836]`. Kernels before 5.6 have no namespaces of time. */
const namespace = (kind: "pid" | "time"): string | undefined => {
  const path = `/proc/self/ns/${kind}`
  return kind === "time" && !existsSync(path) ? "0" : /\d+/.exec(readlinkSync(path))?.[0]
}

/** Boot, namespaces of ids and times; id; start. What follows is somebody else's. */
const IDENTITY = /^([\da-f]{32}-\d+-\d+)-(\d+)-(\d+)(?![^-])/

/**
 * Whether a host is known to have ended. Only of hosts of `own`'s boot and namespaces that can be said; what is not
 * known to be dead is left alone.
 */
export const isDeadHost = (host: string, own: string): boolean => {
  const [, place, pid, started] = IDENTITY.exec(host) ?? []
  if (place === undefined || place !== IDENTITY.exec(own)?.[1]) return false
  const now = startOf(Number(pid))
  return now === undefined || (now !== "" && now !== started)
}
