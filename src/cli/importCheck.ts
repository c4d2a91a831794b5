import { Duration, Effect } from "effect"
import { type Command, whyMissing } from "../command/PluginCommand.ts"
import { PluginProcess } from "../process/PluginProcess.ts"
import { ToolRun } from "../python/ToolRun.ts"
import { failed } from "./CommandError.ts"

/** Longer than a large package takes to be imported from a cold disk. */
const LIMIT = Duration.minutes(1)

/**
 * Runs a plugin's program as far as it goes without a host: all that it imports is imported, and what it does behind
 * `if __name__ == "__main__"` is not done. A program without that ends, since no host has started it.
 */
const SCRIPT = `
import os, platform, runpy, sys
path = sys.argv[1]
sys.path[0] = os.path.dirname(path)
sys.argv = [path]
sys.dont_write_bytecode = True
print(platform.python_version(), flush=True)
try:
    runpy.run_path(path, run_name="__plugin_check__")
except SystemExit:
    pass
`

/** Imports what a plugin's program imports; answers the version of its Python. */
export const checkImports = Effect.fnUntraced(
  function* (command: Command) {
    const { args, cwd, env, executable, pluginId } = command
    const { run } = yield* ToolRun
    const lines: Array<string> = []
    const answer = run({
      pluginId,
      step: "importing",
      executable,
      args: ["-c", SCRIPT, ...args],
      cwd,
      env,
      stallLimit: LIMIT,
      secrets: [],
      offline: true,
      onLine: (line) => void lines.push(line),
    })
    yield* Effect.mapError(answer, (error) =>
      // Its last line says what is wrong, and those before it where.
      failed(
        error._tag === "PythonInstallError"
          ? [...error.output.slice(-MAX_LINES), ...whyMissing(command, error.output)].join("\n")
          : error.message,
      ),
    )
    return lines[0] ?? ""
  },
  Effect.provide(ToolRun.layer),
  Effect.provide(PluginProcess.layer),
)

/** Lines of a traceback that are shown. */
const MAX_LINES = 6
