/** `npm start`: the supervisor on the example plugins. Sets up what is missing first. Flags go to `serve`. */
import { spawn } from "node:child_process"
import { join } from "node:path"
import { ensureVenv, findPython, root } from "./python.ts"

const python = findPython()
if ("missing" in python) {
  process.stderr.write(`The example plugin is written in Python, but ${python.missing}; install it and try again.\n`)
  process.exit(1)
}
ensureVenv("examples/hello-python/.venv", "./python-sdk", python.command)

const given = process.argv.slice(2)
const defaults = { "--plugins": "examples", "--data": ".data" }
const unset = Object.entries(defaults).filter(([flag]) => !given.includes(flag))

const supervisor = spawn(process.execPath, [join(root, "src/main.ts"), "serve", ...unset.flat(), ...given], {
  cwd: root,
  stdio: "inherit",
})
// A terminal signals the whole group; anybody else means us, and so the supervisor.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => supervisor.kill(signal))
supervisor.on("exit", (code, signal) => process.exit(signal === null ? (code ?? 1) : 1))
