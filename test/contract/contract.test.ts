/**
 * The .proto files are the wire contract: names, numbers and types must be the published ones. The tables beside this
 * test hold the published contract and are the only expected values; how the files are cut is not part of it.
 */
import { execFileSync } from "node:child_process"
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { createFileRegistry, type DescField, type DescFile, fromBinary } from "@bufbuild/protobuf"
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt"
import { assert, describe, it } from "vitest"

const root = resolve(import.meta.dirname, "../..")
const buf = (...args: ReadonlyArray<string>) =>
  execFileSync(join(root, "node_modules/.bin/buf"), args, { cwd: root, maxBuffer: 64 * 1024 * 1024 })

const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, buf("build", "-o", "-", "--as-file-descriptor-set")),
)

const PACKAGE = "mattermost.pluginapi.v1"

/** The rows of a table, its header apart. */
const table = (name: string): ReadonlyArray<ReadonlyArray<string>> =>
  readFileSync(join(import.meta.dirname, name), "utf8")
    .trimEnd()
    .split("\n")
    .slice(1)
    .map((line) => line.split("\t").map((cell) => cell.trimEnd()))

const filesOf = (packageName: string): ReadonlyArray<DescFile> =>
  [...registry.files].filter((file) => file.proto.package === packageName)

const contract = filesOf(PACKAGE)
const lines = (rows: Iterable<ReadonlyArray<unknown>>): ReadonlyArray<string> =>
  [...rows].map((row) => row.join(" ")).toSorted()

const local = (typeName: string): string =>
  typeName.startsWith(`${PACKAGE}.`) ? typeName.slice(PACKAGE.length + 1) : typeName

const scalarNames: { readonly [number: number]: string } = {
  1: "double",
  2: "float",
  3: "int64",
  4: "uint64",
  5: "int32",
  8: "bool",
  9: "string",
  12: "bytes",
  13: "uint32",
}

const typeOf = (field: DescField): string => {
  switch (field.fieldKind) {
    case "scalar":
      return scalarNames[field.scalar]!
    case "enum":
      return local(field.enum.typeName)
    case "message":
      return local(field.message.typeName)
    case "list":
      return field.listKind === "scalar"
        ? scalarNames[field.scalar]!
        : local(field.listKind === "enum" ? field.enum.typeName : field.message.typeName)
    case "map": {
      const value =
        field.mapKind === "scalar"
          ? scalarNames[field.scalar]!
          : local(field.mapKind === "enum" ? field.enum.typeName : field.message.typeName)
      return `map<${scalarNames[field.mapKey]}, ${value}>`
    }
  }
}

const labelOf = (field: DescField): string =>
  field.fieldKind === "list" || field.fieldKind === "map"
    ? "repeated"
    : field.proto.proto3Optional
      ? "optional"
      : "singular"

describe("the contract", () => {
  it("has every service and rpc, and no other", () => {
    const found = contract.flatMap((file) =>
      file.services.flatMap((service) =>
        service.methods.map((method) => [
          service.name,
          method.name,
          local(method.input.typeName),
          local(method.output.typeName),
          method.proto.clientStreaming,
          method.proto.serverStreaming,
        ]),
      ),
    )
    assert.strictEqual(found.length, 278)
    assert.deepStrictEqual(lines(found), lines(table("rpcs.tsv")))
  })

  it("has every message, also those without fields, and no other", () => {
    const found = contract.flatMap((file) => file.messages.map(({ fields, name }) => [name, fields.length]))
    assert.strictEqual(found.length, 648)
    assert.deepStrictEqual(lines(found), lines(table("messages.tsv").map(([, message, count]) => [message, count])))
  })

  it("has every field with its number, type and label, and no other", () => {
    const found = contract.flatMap((file) =>
      file.messages.flatMap((message) =>
        message.fields.map((field) => [
          message.name,
          field.number,
          field.name,
          typeOf(field),
          labelOf(field),
          field.oneof?.name ?? "",
        ]),
      ),
    )
    assert.strictEqual(found.length, 1614)
    const expected = table("fields.tsv").map(([, message, number, name, type, label, oneof = ""]) => [
      message,
      number,
      name,
      type,
      label,
      oneof,
    ])
    assert.deepStrictEqual(lines(found), lines(expected))
  })

  it("has every enum value, and no other", () => {
    const found = contract.flatMap((file) =>
      file.enums.flatMap((values) => values.values.map(({ name, number }) => [values.name, number, name])),
    )
    assert.deepStrictEqual(lines(found), lines(table("enums.tsv").map(([, ...rest]) => rest)))
  })

  it("has go-plugin's own services as go-plugin 1.8 defines them", () => {
    const files = filesOf("plugin")
    const rpcs = files.flatMap((file) =>
      file.services.flatMap(({ methods, typeName }) =>
        methods.map(({ input, name, output, proto }) => [
          `/${typeName}/${name}`,
          proto.clientStreaming,
          input.typeName,
          proto.serverStreaming,
          output.typeName,
        ]),
      ),
    )
    assert.deepStrictEqual(lines(rpcs), [
      "/plugin.GRPCBroker/StartStream true plugin.ConnInfo true plugin.ConnInfo",
      "/plugin.GRPCController/Shutdown false plugin.Empty false plugin.Empty",
      "/plugin.GRPCStdio/StreamStdio false google.protobuf.Empty true plugin.StdioData",
    ])
    const messages = files.flatMap((file) => file.messages.flatMap((message) => [message, ...message.nestedMessages]))
    const fields = messages.flatMap((message) =>
      message.fields.map((field) => [message.typeName, field.number, field.name, typeOf(field)]),
    )
    assert.deepStrictEqual(lines(fields), [
      "plugin.ConnInfo 1 service_id uint32",
      "plugin.ConnInfo 2 network string",
      "plugin.ConnInfo 3 address string",
      "plugin.ConnInfo 4 knock plugin.ConnInfo.Knock",
      "plugin.ConnInfo.Knock 1 knock bool",
      "plugin.ConnInfo.Knock 2 ack bool",
      "plugin.ConnInfo.Knock 3 error string",
      "plugin.StdioData 1 channel plugin.StdioData.Channel",
      "plugin.StdioData 2 data bytes",
    ])
  })

  it("is what the generated TypeScript was generated from", () => {
    const folder = mkdtempSync(join(tmpdir(), "generated-"))
    try {
      for (const file of ["proto", "buf.yaml", "buf.gen.yaml"]) {
        cpSync(join(root, file), join(folder, file), { recursive: true })
      }
      execFileSync(join(root, "node_modules/.bin/buf"), ["generate"], {
        cwd: folder,
        env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env["PATH"]}` },
      })
      const names = (base: string) => globSync("**/*_pb.{js,d.ts}", { cwd: join(base, "src/generated") }).toSorted()
      assert.deepStrictEqual(names(root), names(folder))
      for (const name of names(root)) {
        const read = (base: string) => readFileSync(join(base, "src/generated", name), "utf8")
        assert.strictEqual(read(root), read(folder), `${name} is stale; run npm run generate`)
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
