/** The programs that the bench's figures stand beside, built once. */
import { execFileSync } from "node:child_process"
import { existsSync, globSync, mkdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { root } from "../../scripts/python.ts"
import { interpreter } from "../python.ts"

const folder = join(root, ".cache/bench")
const proto = join(root, "proto")

const isBuilt = (made: string, sources: ReadonlyArray<string>): boolean =>
  existsSync(made) &&
  globSync(sources, { cwd: root }).every((file) => statSync(join(root, file)).mtimeMs < statSync(made).mtimeMs)

/** The Go program `reference`. The first time, go-plugin and gRPC are compiled. */
export const buildReference = (): string => {
  const program = join(folder, "reference")
  if (!isBuilt(program, ["bench/reference/go/*.*", "proto/**/*.proto"])) {
    execFileSync(join(root, "bench/reference/go/build.sh"), [folder], { stdio: "inherit" })
  }
  return program
}

/** The folder of protoc's Python modules of the contract: what somebody without the SDK uses. */
export const buildStubs = (): string => {
  const stubs = join(folder, "python")
  const service = join(stubs, "mattermost/pluginapi/v1/plugin_hooks_pb2_grpc.py")
  if (!isBuilt(service, ["proto/**/*.proto"])) {
    mkdirSync(stubs, { recursive: true })
    const files = globSync("mattermost/**/*.proto", { cwd: proto })
    const out = [`-I${proto}`, `--python_out=${stubs}`, `--grpc_python_out=${stubs}`]
    execFileSync(interpreter, ["-m", "grpc_tools.protoc", ...out, ...files], { cwd: proto, stdio: "inherit" })
  }
  return stubs
}
