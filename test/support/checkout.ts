/** The project as its users have it, for tests that run the commands of its documents. */
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { inject } from "vitest"
import { installedCli } from "./cli.ts"
import { root } from "./documents.ts"
import { temporaryFolder } from "./folder.ts"
import { eventually } from "./host.ts"
import { program } from "./program.ts"

const python = inject("python")

/** Builds the SDK by handing out the wheel that was built of it before the tests. */
const BACKEND = `import os, shutil

def build_wheel(directory, settings=None, metadata=None):
    return os.path.basename(shutil.copy(${JSON.stringify("wheel" in python ? python.wheel : "")}, directory))
`

/**
 * Puts the SDK into a checkout, for \`pip install ./python-sdk\`. It is not built for each environment anew: that takes
 * longer than all else that these tests do. It is built where \`plugin-supervisor sdk\` leads to it, and by \`npm start\`.
 */
const addSdk = (folder: string): void => {
  mkdirSync(folder)
  const system = 'requires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
  writeFileSync(join(folder, "pyproject.toml"), `[build-system]\n${system}`)
  writeFileSync(join(folder, "backend.py"), BACKEND)
}

/** A checkout of the project to run commands in, so that what they make in a developer's own is left alone. */
export const checkout = Effect.map(temporaryFolder, (folder) => {
  installedCli(folder)
  addSdk(join(folder, "python-sdk"))
  for (const name of ["proto", "src", "node_modules", "package.json", "tsconfig.json"]) {
    symlinkSync(join(root, name), join(folder, name))
  }
  const isMade = /[/\\](\.venv|dist|__pycache__)$/
  cpSync(join(root, "examples"), join(folder, "examples"), { recursive: true, filter: (from) => !isMade.test(from) })
  return folder
})

/**
 * Runs commands whose last starts the supervisor, until its plugins serve and it has printed `last`; answers its address. It is
 * stopped after.
 */
export const served = Effect.fnUntraced(function* (commands: string, cwd: string, last = /\/api\/v4\/posts\n/) {
  const script = `${commands.trim().replace(/^(?:npx )?(\S+) (?=.*\bserve )/m, "exec $1 ")} --port 0`
  const env = { ...process.env, PATH: `${join(cwd, "bin")}:${process.env["PATH"]}` }
  const supervisor = yield* program("sh", ["-ec", script], { cwd, env })
  // Its last words, when every plugin is active or has failed.
  const settled = () => supervisor.child.exitCode !== null || last.test(supervisor.output())
  yield* eventually("the plugins serve", settled, 590_000)
  assert.isNull(supervisor.child.exitCode, supervisor.log())
  const found = (pattern: RegExp) => pattern.exec(supervisor.output())![1]!
  return {
    base: found(/listens on (\S+)/),
    channelId: () => found(/"channel_id":"(\w+)"/),
    authorization: found(/-H "Authorization: ([^"]+)"/),
    output: supervisor.output,
    log: supervisor.log,
  }
})
