/** `npm start`: the supervisor on the example plugins. Sets up what is missing first. Flags go to `serve`. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { startOf } from "../src/process/ProcessTable.ts"
import { ensureVenv, findPython, root } from "./python.ts"

const given = process.argv.slice(2)
const defaults = { "--plugins": "examples", "--data": ".data" }
const isGiven = (flag: string) => given.some((argument) => argument === flag || argument.startsWith(`${flag}=`))
const unset = Object.entries(defaults).filter(([flag]) => !isGiven(flag))

if (!isGiven("--plugins")) {
  const python = findPython()
  if ("missing" in python) {
    process.stderr.write(`The example plugin is written in Python, but ${python.missing}; install it and try again.\n`)
    process.exit(1)
  }
  ensureVenv("examples/hello-python/.venv", "./python-sdk", python.command)
}

/** How many processes there may be from here to npm: a shell, mostly. */
const MAX_DISTANCE = 4

/** From the parent of this process up to npm: whichever of them ends, the supervisor is to end as well. */
const chainToNpm = (): ReadonlyArray<number> => {
  if (process.platform !== "linux") return [process.ppid]
  const chain: Array<number> = []
  try {
    for (let pid = process.ppid; chain.length < MAX_DISTANCE;) {
      chain.push(pid)
      const [command = "", script = ""] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")
      if (/^(p?npm|yarn)\b/.test(command) || /(npm|yarn)[\w.-]*$/.test(script)) return chain
      pid = Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1])
    }
  } catch {
    // Somebody has ended already; the parent is seen to.
  }
  return [process.ppid]
}

/** How often it is looked whether they live, in milliseconds. */
const INTERVAL = 500

// npm hands a signal on to nobody, and one that is killed could not. Started by hand nobody else is meant.
if (process.env["npm_lifecycle_event"] !== undefined) {
  const chain = chainToNpm().map((pid) => [pid, startOf(pid)] as const)
  const watch = setInterval(() => {
    if (chain.every(([pid, started]) => startOf(pid) === started)) return
    clearInterval(watch)
    process.kill(process.pid, "SIGTERM")
  }, INTERVAL)
  watch.unref()
}

// In this very process: one that is started is one more that can be left behind.
process.chdir(root)
process.argv = [process.execPath, join(root, "src/main.ts"), "serve", ...unset.flat(), ...given]
await import("../src/main.ts")
