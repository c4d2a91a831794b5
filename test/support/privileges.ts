/** What some tests need of the machine. Who may not have it is told so (`globalSetup.ts`), and they are skipped. */
import { spawnSync } from "node:child_process"
import { accessSync, constants, existsSync, mkdtempSync, rmdirSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { baseGroup, controlGroup } from "../../src/process/ControlGroup.ts"
import { setprivAs } from "../../src/process/ProcessUser.ts"

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

/** A user of every machine. */
export const NOBODY = { name: "nobody", uid: 65_534, gid: 65_534 }

/** An interpreter that everybody may run. */
export const SYSTEM_PYTHON = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3"

/** Whether a process may be another user's. */
export const mayChangeUser =
  process.platform === "linux" &&
  spawnSync("setpriv", [...setprivAs(NOBODY), "--", SYSTEM_PYTHON, "-c", "0"]).status === 0

/** The controllers of control groups (cgroup v2) that this process may limit others by. */
export const CONTROLLERS: ReadonlySet<string> = (() => {
  const base = Effect.runSync(baseGroup)
  const found = new Set<string>()
  if (base === undefined) return found
  try {
    const above = mkdtempSync(join(base, "probe-"))
    const within = mkdtempSync(join(above, "probe-"))
    const group = controlGroup(within, [base, above])
    for (const [name, controller] of [
      ["memory", "memory"],
      ["processes", "pids"],
      ["cpus", "cpu"],
    ] as const) {
      if (group.limit(name, 1) === undefined) found.add(controller)
    }
    rmdirSync(within)
    rmdirSync(above)
  } catch {
    // It may make none.
  }
  return found
})()
