/** `npm run build`: the publishable `dist/`, JavaScript and types, with the generated stubs and the wheel of the Python SDK beside them. */
import { execFileSync } from "node:child_process"
import { cpSync, rmSync } from "node:fs"
import { join } from "node:path"
import { buildWheel, ensureDevVenv, findPython, root } from "./python.ts"

rmSync(join(root, "dist"), { recursive: true, force: true })
execFileSync("tsc", ["-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" })
cpSync(join(root, "src/generated"), join(root, "dist/generated"), { recursive: true })

const python = findPython()
if ("missing" in python) process.stderr.write(`dist/ is without the Python SDK: ${python.missing}\n`)
else buildWheel(ensureDevVenv(python.command), join(root, "dist/sdk"))
