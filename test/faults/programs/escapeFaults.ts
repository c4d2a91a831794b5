import { spawn } from "node:child_process"
import { chmodSync, rmSync } from "node:fs"
import { join } from "node:path"
import { commandText, type Fault } from "./fault.ts"

const descendants = join(import.meta.dirname, "../../fixtures/descendants.py")

/** Starts a descendant of a kind, which logs `ready`; its token is this plugin's own. */
const starts = (kind: string): Fault => ({
  afterwards: () => {
    const args = ["-IS", descendants, kind, process.argv[3]!]
    spawn("python3", args, { stdio: ["ignore", process.stderr, "inherit"] }).unref()
  },
})

const socketFolder = process.env["PLUGIN_UNIX_SOCKET_DIR"]!

const apiSocket = join(socketFolder, "api.sock")

/** Removes something at the first command, and from then on answers what its host API answers. */
const removes = (remove: () => void): Fault => {
  let isRemoved = false
  return {
    rpcs: {
      ExecuteCommand: async (call) => {
        if (!isRemoved) remove()
        const { apiSession, callApi } = await import("./api.ts")
        const status = isRemoved ? (await callApi(apiSession(), "GetServerVersion")).status : "removed"
        isRemoved = true
        call.answerBytes(commandText(status))
      },
    },
  }
}

/** Faults of plugins that want to get out, or to stay. */
export const escapeFaults = {
  "starts a child": starts("child"),
  "starts a session": starts("session"),
  "starts a group": starts("group"),
  "starts a daemon": starts("daemon"),
  "starts what starts itself anew": starts("respawning"),
  "starts what becomes its own child": starts("hopping"),
  "starts what ignores signals": starts("ignoring"),
  "starts what is stopped": starts("stopped"),
  "starts a child without an environment": starts("cleared"),
  "starts a session without an environment": starts("cleared-session"),
  "removes its folder for sockets": removes(() => rmSync(socketFolder, { recursive: true })),
  "removes the socket of its host API": removes(() => rmSync(apiSocket)),
  "goes on removing the socket of its host API": {
    afterwards: () => void setInterval(() => rmSync(apiSocket, { force: true }), 100),
  },
  "locks its folder for sockets": { afterwards: () => chmodSync(socketFolder, 0) },
} satisfies { readonly [fault: string]: Fault }
