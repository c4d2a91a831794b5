/**
 * The .proto files are the wire contract: names, numbers, types and labels must be the published ones. The folders beside
 * this test are named after the packages; their tables hold what is published and are the only expected values. The
 * tables' `file` column is not compared: how the files are cut is ours to decide and does not show on the wire.
 */
import { execFileSync } from "node:child_process"
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join, resolve } from "node:path"
import {
  createFileRegistry,
  type DescEnum,
  type DescField,
  type DescMessage,
  type DescService,
  fromBinary,
  ScalarType,
} from "@bufbuild/protobuf"
import { Edition, FieldDescriptorProto_Label, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt"
import { assert, describe, it, onTestFinished } from "vitest"

const root = resolve(import.meta.dirname, "../..")

/** Runs buf in the repository's root. */
const buf = (...args: ReadonlyArray<string>): Buffer => {
  const bin = join(root, "node_modules/.bin")
  return execFileSync(join(bin, "buf"), args, {
    cwd: root,
    env: { ...process.env, PATH: `${bin}${delimiter}${process.env["PATH"]}` },
    maxBuffer: 64 * 1024 * 1024,
  })
}

const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, buf("build", "-o", "-", "--as-file-descriptor-set")),
)

type Rows = ReadonlyArray<ReadonlyArray<string | number | boolean>>

/** A table's rows as they stand in the file, without its header. */
const lines = (file: string): ReadonlyArray<string> =>
  readFileSync(file, "utf8").replace(/\n$/, "").split("\n").slice(1)

/** Both directions: what is published and not in our files, and what is in our files and not published. */
const assertSame = (found: Rows, published: ReadonlyArray<string>) => {
  const ours = found.map((row) => row.join("\t"))
  assert.deepStrictEqual(
    {
      missing: published.filter((row) => !ours.includes(row)),
      extra: ours.filter((row) => !published.includes(row)),
      count: ours.length,
    },
    { missing: [], extra: [], count: published.length },
  )
}

/** Everything one package declares, nested types included, in the columns of the tables. */
const declarationsOf = (packageName: string) => {
  const declared = [...registry].filter((type) => type.file.proto.package === packageName)
  const messages = declared.filter((type) => type.kind === "message")

  /** The tables write a package's own types without its name, and all others in full. */
  const name = ({ file, typeName }: DescMessage | DescEnum | DescService): string =>
    file.proto.package === packageName ? typeName.slice(packageName.length + 1) : typeName

  const scalar = (type: ScalarType): string => ScalarType[type].toLowerCase()

  const typeOf = (field: DescField): string => {
    const value =
      field.message !== undefined
        ? name(field.message)
        : field.enum !== undefined
          ? name(field.enum)
          : scalar(field.scalar)
    return field.fieldKind === "map" ? `map<${scalar(field.mapKey)}, ${value}>` : value
  }

  const labelOf = ({ proto }: DescField): string =>
    proto.label === FieldDescriptorProto_Label.REPEATED ? "repeated" : proto.proto3Optional ? "optional" : "singular"

  return {
    files: [...registry.files].filter((file) => file.proto.package === packageName),
    rpcs: declared
      .filter((type) => type.kind === "service")
      .flatMap((service) =>
        service.methods.map(({ input, name: rpc, output, proto }) => [
          name(service),
          rpc,
          name(input),
          name(output),
          proto.clientStreaming,
          proto.serverStreaming,
        ]),
      ),
    messages: messages.map((message) => [name(message), message.fields.length]),
    fields: messages.flatMap((message) =>
      message.fields.map((field) => [
        name(message),
        field.number,
        field.name,
        typeOf(field),
        labelOf(field),
        field.oneof?.name ?? "",
      ]),
    ),
    enums: declared
      .filter((type) => type.kind === "enum")
      .flatMap((type) => type.values.map((value) => [name(type), value.number, value.name])),
    extensions: declared.filter((type) => type.kind === "extension"),
  }
}

describe.each(["mattermost.pluginapi.v1", "plugin"])("package %s", (packageName) => {
  const declared = declarationsOf(packageName)
  const table = (what: string) => lines(join(import.meta.dirname, packageName, `${what}.tsv`))
  const withoutFile = (row: string) => row.slice(row.indexOf("\t") + 1)

  it("is proto3 without extensions", () => {
    assert.isNotEmpty(declared.files)
    for (const { edition, name } of declared.files) assert.strictEqual(edition, Edition.EDITION_PROTO3, name)
    assert.isEmpty(declared.extensions)
  })

  it("has the published services and rpcs, with their messages and streaming", () => {
    assertSame(declared.rpcs, table("rpcs"))
  })

  it("has the published messages, also those without fields", () => {
    assertSame(declared.messages, table("messages").map(withoutFile))
  })

  it("has the published fields, with their numbers, types, labels and oneofs", () => {
    assertSame(declared.fields, table("fields").map(withoutFile))
  })

  it("has the published enum values", () => {
    assertSame(declared.enums, table("enums").map(withoutFile))
  })
})

describe("generated stubs", () => {
  it("are, byte for byte, what the .proto files generate", () => {
    const again = mkdtempSync(join(tmpdir(), "generated-"))
    onTestFinished(() => rmSync(again, { recursive: true, force: true }))
    for (const folder of ["", "test/fixtures/goplugin/", "examples/own-protocol/", "examples/own-contract/"]) {
      buf("generate", "--template", `${folder}buf.gen.yaml`, "--output", again)
    }
    const filesIn = (base: string) => globSync("{src,test,examples/*}/**/generated/**/*.*", { cwd: base }).toSorted()
    assert.isNotEmpty(filesIn(again))
    assert.deepStrictEqual(filesIn(root), filesIn(again))
    for (const file of filesIn(again)) {
      const same = readFileSync(join(root, file)).equals(readFileSync(join(again, file)))
      assert.isTrue(same, `${file} is not what the .proto files generate; run npm run generate`)
    }
  })
})
