import { homedir } from "node:os"
import { join } from "node:path"
import { Layer, Option } from "effect"
import * as PythonEnvironments from "../python/PythonEnvironments.ts"
import type { PythonOptions } from "./pythonFlags.ts"

/** Where environments are that no data folder of a supervisor has: those of `check`, `call` and `dev`, from one time to the next. */
export const userEnvironments = (): string =>
  join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "plugin-supervisor", "environments")

/** What makes plugins' Python environments, by default in `folder`, unless an operator does not want that; with `packages` in each. */
export const pythonEnvironments = (options: PythonOptions, folder: string, packages: ReadonlyArray<string> = []) =>
  options.provision
    ? PythonEnvironments.layer({
        directory: Option.getOrElse(options.environments, () => folder),
        tool: Option.getOrUndefined(options.pythonTool),
        sdk: { requirement: Option.getOrUndefined(options.pythonSdk) },
        packages,
        indexUrl: Option.getOrUndefined(options.pythonIndex),
        findLinks: options.findLinks,
        offline: options.offline,
      })
    : Layer.empty
