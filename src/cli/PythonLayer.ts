import { homedir } from "node:os"
import { join, resolve } from "node:path"
import { Layer, Option } from "effect"
import * as PythonEnvironments from "../python/PythonEnvironments.ts"
import type { PythonOptions } from "./pythonFlags.ts"

/** Where environments are that no data folder of a supervisor has: those of `check`, `call` and `dev`, from one time to the next. */
export const userEnvironments = (): string =>
  join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "plugin-supervisor", "environments")

/** What makes plugins' Python environments, where an operator wants that. */
export const pythonEnvironments = (options: PythonOptions) =>
  Option.match(options.environments, {
    onNone: () => Layer.empty,
    onSome: (directory) =>
      PythonEnvironments.layer({
        directory,
        tool: Option.getOrUndefined(options.pythonTool),
        sdk: { requirement: Option.getOrUndefined(options.pythonSdk) },
        indexUrl: Option.getOrUndefined(options.pythonIndex),
        findLinks: options.findLinks.map((folder) => (URL.canParse(folder) ? folder : resolve(folder))),
        offline: options.offline,
      }),
  })
