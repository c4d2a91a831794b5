/** The Python that plugins of the benches run on: that of the SDK's own development. */
import { spawn } from "node:child_process"
import { dirname } from "node:path"
import { Effect, Layer } from "effect"
import { HostEnvironment } from "../src/command/HostEnvironment.ts"
import { currentPlatform } from "../src/command/PluginRuntime.ts"
import { ensureDevVenv, findPython } from "../scripts/python.ts"

const found = findPython()
if ("missing" in found) throw new Error(found.missing)

/** The interpreter, in whose environment the SDK is. */
export const interpreter = ensureDevVenv(found.command)

/** A Python that imports grpc and ends: what a plugin on grpcio can't be faster than. */
export const importGrpc: Effect.Effect<void> = Effect.callback((resume) => {
  spawn(interpreter, ["-c", "import grpc"], { stdio: "ignore" }).on("exit", () => resume(Effect.void))
})

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
