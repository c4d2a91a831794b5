/** The Python that plugins of the benches run on: that of the SDK's own development. */
import { dirname } from "node:path"
import { Layer } from "effect"
import { HostEnvironment } from "../src/command/HostEnvironment.ts"
import { currentPlatform } from "../src/command/PluginRuntime.ts"
import { ensureDevVenv, findPython } from "../scripts/python.ts"

const found = findPython()
if ("missing" in found) throw new Error(found.missing)

/** The interpreter, in whose environment the SDK is. */
export const interpreter = ensureDevVenv(found.command)

/** This process' variables, with that interpreter first on the PATH. */
export const variables: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${dirname(interpreter)}:${process.env["PATH"]}`,
}

/** The same for a host in this process. */
export const environment: Layer.Layer<never> = Layer.succeed(HostEnvironment, {
  platform: currentPlatform,
  variables,
})
