import { Context } from "effect"
import { currentPlatform, type Platform } from "./PluginRuntime.ts"

/** The environment variables of a process. */
export type Variables = { readonly [name: string]: string | undefined }

/** What the host's machine offers to plugins: its platform and its environment. Tests set their own. */
export const HostEnvironment = Context.Reference<{ readonly platform: Platform; readonly variables: Variables }>(
  "effect-plugin-supervisor/command/HostEnvironment",
  { defaultValue: () => ({ platform: currentPlatform, variables: process.env }) },
)
