import { Duration, Effect, Schema } from "effect"
import { PythonToolError } from "../command/PythonEnvironment.ts"
import type { ToolCommand, ToolRun } from "./ToolRun.ts"

/** What an interpreter says of itself. */
export const BaseInterpreter = Schema.Struct({
  /** The interpreter itself, where what was asked was a link or a script that leads to it. */
  executable: Schema.String,
  /** With the date of its build, which tells an upgrade. */
  version: Schema.String,
  /** The folder of the installation, of which environments are made. */
  base: Schema.String,
  /** System, processor, C library and binary interface: who may load the same compiled modules. */
  platform: Schema.String,
  /** The modules for making environments that it lacks. */
  missing: Schema.Array(Schema.String),
  /** Whether it has the SDK. */
  hasSdk: Schema.Boolean,
})
export type BaseInterpreter = typeof BaseInterpreter.Type

const PROBE = `
import importlib.util, json, platform, sys, sysconfig
def has(name):
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
print(json.dumps({
    "executable": sys.executable,
    "version": sys.version,
    "base": sys.base_prefix,
    "platform": " ".join([sysconfig.get_platform(), *platform.libc_ver(), str(sysconfig.get_config_var("SOABI"))]),
    "missing": [name for name in ("venv", "ensurepip") if not has(name)],
    "hasSdk": len(sys.argv) > 1 and has(sys.argv[1]),
}))
`

/** How long an interpreter may take to answer, on a slow disk that it was never read from. */
const PROBE_LIMIT = Duration.seconds(60)

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(BaseInterpreter))

/** Asks an interpreter what it is. `-I` keeps the environment, the user's packages and the current folder out of it. */
export const probe = (
  run: ToolRun["Service"]["run"],
  command: Pick<ToolCommand, "pluginId" | "cwd" | "env">,
  executable: string,
  module: string | undefined,
): Effect.Effect<BaseInterpreter, PythonToolError> =>
  run({
    ...command,
    step: `asking ${executable} what it is`,
    executable,
    args: ["-I", "-c", PROBE, ...(module === undefined ? [] : [module])],
    stallLimit: PROBE_LIMIT,
    secrets: [],
    offline: false,
    onLine: () => {},
  }).pipe(
    Effect.flatMap((answer) => decode(answer)),
    Effect.mapError(
      ({ message }) =>
        new PythonToolError({
          pluginId: command.pluginId,
          reason: `${executable} doesn't work as a Python interpreter (${message}); put a Python 3.9 or later on the host's PATH`,
        }),
    ),
  )
