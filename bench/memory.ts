/** Memory of processes, as /proc tells of it (Linux), in bytes. */
import { readFileSync, writeFileSync } from "node:fs"

const KIB = 1024

const inStatus = (pid: number, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * KIB

/** What a process has in memory. */
export const resident = (pid: number): number => inStatus(pid, "VmRSS")

/** The most that it has had since this was last asked. */
export const peak = (pid: number): number => {
  const most = inStatus(pid, "VmHWM")
  writeFileSync(`/proc/${pid}/clear_refs`, "5")
  return most
}
