/** What some tests need of the machine. Who may not have it is told so (`globalSetup.ts`), and they are skipped. */
import { spawnSync } from "node:child_process"
import { accessSync, constants } from "node:fs"

/** Where Linux takes the id of the next process from. */
export const LAST_PID = "/proc/sys/kernel/ns_last_pid"

const mayWrite = (path: string): boolean => {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Runs a command where it may mount file systems that only it sees. */
export const MOUNTING = ["unshare", "--user", "--map-root-user", "--mount"] as const

/** Whether a process may be given the id of one that has ended. */
export const mayChooseIds = mayWrite(LAST_PID)

/** Whether a test may have a disk of its own. */
export const mayMount =
  process.platform === "linux" && spawnSync(MOUNTING[0], [...MOUNTING.slice(1), "true"]).status === 0
