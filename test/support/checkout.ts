/** The project as its users have it, for tests that run the commands of its documents. */
import { cpSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { installedCli } from "./cli.ts"
import { root } from "./documents.ts"
import { temporaryFolder } from "./folder.ts"
import { eventually } from "./host.ts"
import { program } from "./program.ts"

/** A checkout of the project to run commands in, so that what they make in a developer's own is left alone. */
export const checkout = Effect.map(temporaryFolder, (folder) => {
  installedCli(folder)
  for (const name of ["python-sdk", "proto", "src", "node_modules", "package.json", "tsconfig.json"]) {
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
