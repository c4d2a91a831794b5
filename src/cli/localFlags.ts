import type { Option } from "effect"
import { Flag } from "effect/cli"
import { pythonFlags, type PythonOptions } from "./pythonFlags.ts"

/** `--backend`, for the plugins of another contract. */
export const backendFlag = Flag.File("backend", { mustExist: true }).pipe(
  Flag.withDescription("Module of a contract of your own, as serve takes it. Default: Mattermost's contract"),
  Flag.optional,
)

/** The flags of commands that run a plugin by themselves. */
export const localFlags = {
  backend: backendFlag,
  ...pythonFlags,
  environments: pythonFlags.environments.pipe(
    Flag.withDescription("Folder of Python environments. Default: one for all plugins, in the user's cache"),
  ),
}

/** What these flags say. */
export interface LocalFlags extends PythonOptions {
  readonly backend: Option.Option<string>
}
