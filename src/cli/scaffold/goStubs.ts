import { create, type DescFile, type DescMessage, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf"
import { CodeGeneratorRequestSchema, CodeGeneratorResponseSchema } from "@bufbuild/protobuf/wkt"
import { Effect } from "effect"
import type { AnyContract } from "../../contract/Contract.ts"
import { HostKeyValues } from "../../generated/plugin_supervisor/v1/host_services_pb.js"
import { type CommandError, failed } from "../CommandError.ts"
import { runTool } from "./runTool.ts"

/** The generators, which Go gets, builds and keeps. */
const GENERATORS = [
  "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12",
  "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
]

/** Where a plugin's module has the stubs. */
const FOLDER = "contract"

/** What Go has its own packages for. */
const isWellKnown = ({ name }: DescFile): boolean => name.startsWith("google/protobuf/")

/** The files of a contract and all that they import, each behind what it imports. */
const filesOf = ({ api, hooks, hostServices, lifecycle }: AnyContract): ReadonlyArray<DescFile> => {
  const files = new Set<DescFile>()
  const add = (file: DescFile): void => {
    if (files.has(file)) return
    for (const other of file.dependencies) add(other)
    files.add(file)
  }
  add(hooks.file)
  add(api.file)
  // What every contract has, where this one has no rpcs of its own for it.
  add(lifecycle.implemented.parent.file)
  if (hostServices) add(HostKeyValues.file)
  return [...files]
}

const folderOf = ({ name }: DescFile): string => name.split("/").slice(0, -1).join("/")

/** The path by which Go imports a file's stubs. */
const importPath = (module: string, file: DescFile): string =>
  [module, FOLDER, folderOf(file)].filter(Boolean).join("/")

/** The name of a file's Go package: `my_billing.v1` is `mybillingv1`. */
const packageName = (file: DescFile): string =>
  file.proto.package.split(".").slice(-2).join("").replaceAll("_", "") || "contract"

/** A message's, or a service's, name in Go, with that of its package. */
export const goName = ({ file, typeName }: DescMessage | DescService): string => {
  const own = file.proto.package === "" ? typeName : typeName.slice(file.proto.package.length + 1)
  return `${packageName(file)}.${own.replaceAll(".", "_")}`
}

/** The lines by which a program imports the stubs of these. */
export const goImports = (module: string, used: ReadonlyArray<DescMessage | DescService>): ReadonlyArray<string> =>
  [...new Set(used.map(({ file }) => `${packageName(file)} "${importPath(module, file)}"`))].sort()

/** Generates a contract's stubs in Go, by the generators of Go's own makers. `.proto` files and protoc are not needed. */
export const goStubs = Effect.fnUntraced(function* (
  contract: AnyContract,
  module: string,
  cwd: string,
): Effect.fn.Return<{ readonly [path: string]: string }, CommandError> {
  const files = filesOf(contract)
  const own = files.filter((file) => !isWellKnown(file))
  const request = create(CodeGeneratorRequestSchema, {
    fileToGenerate: own.map(({ proto }) => proto.name),
    parameter: [
      "paths=source_relative",
      ...own.map((file) => `M${file.proto.name}=${importPath(module, file)};${packageName(file)}`),
    ].join(","),
    protoFile: files.map(({ proto }) => proto),
  })
  const generated: { [path: string]: string } = {}
  for (const generator of GENERATORS) {
    const answer = yield* runTool("go", ["run", generator], cwd, toBinary(CodeGeneratorRequestSchema, request))
    const { error, file } = fromBinary(CodeGeneratorResponseSchema, answer)
    if (error !== "") return yield* failed(`${generator} can't make stubs of the contract: ${error}`)
    for (const { content, name } of file) generated[`${FOLDER}/${name}`] = content
  }
  return generated
})
