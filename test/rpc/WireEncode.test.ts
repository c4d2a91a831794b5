import {
  create,
  createFileRegistry,
  type DescField,
  type DescMessage,
  fromBinary,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf"
import {
  Edition,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
  isWrapperDesc,
} from "@bufbuild/protobuf/wkt"
import { assert, describe, it } from "@effect/vitest"
import { PluginAPI } from "../../src/generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import { PluginHooks } from "../../src/generated/mattermost/pluginapi/v1/plugin_hooks_pb.js"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { UserSchema } from "../../src/generated/mattermost/pluginapi/v1/user_pb.js"
import { encode } from "../../src/rpc/WireEncode.ts"

const TYPES = Object.values(Type).filter(
  (type): type is Type => typeof type === "number" && type !== Type.GROUP && type !== Type.MESSAGE,
)

const numberField = (number: number, name: string, type: Type, more: object = {}) => ({
  name,
  jsonName: name,
  number,
  type,
  label: Label.OPTIONAL,
  ...more,
})

/** A field of each type of number, text and bytes. */
const ofEachType = (from: number, name: string, more: object) =>
  TYPES.map((type, index) =>
    numberField(
      from + index * 3,
      `${name}_${type}`,
      type,
      type === Type.ENUM ? { typeName: ".test.Kind", ...more } : more,
    ),
  )

const messageField = (number: number, name: string, typeName: string, more: object = {}) => ({
  name,
  jsonName: name,
  number,
  type: Type.MESSAGE,
  typeName,
  label: Label.OPTIONAL,
  ...more,
})

/** All that a message can have, in a file of proto3 or of a later edition. */
const everything = (header: { readonly syntax: string; readonly edition?: Edition }): DescMessage => {
  const isProto3 = header.syntax === "proto3"
  const optional = ofEachType(200, "optional", {})
  const file = create(FileDescriptorProtoSchema, {
    name: "everything.proto",
    package: "test",
    dependency: ["google/protobuf/struct.proto", "google/protobuf/wrappers.proto"],
    enumType: [
      {
        name: "Kind",
        value: [
          { name: "NONE", number: 0 },
          { name: "SOME", number: 1 },
          { name: "LESS", number: -1 },
        ],
      },
    ],
    messageType: [
      {
        name: "Everything",
        field: [
          ...ofEachType(1, "plain", {}),
          ...optional.map((field, index) =>
            isProto3 ? { ...field, proto3Optional: true, oneofIndex: index + 1 } : field,
          ),
          ...ofEachType(300, "list", { label: Label.REPEATED }),
          ...ofEachType(301, "unpacked", { label: Label.REPEATED, options: { packed: isProto3 ? false : undefined } }),
          ...ofEachType(100_000, "choice", { oneofIndex: 0 }),
          messageField(5, "chosen_message", ".test.Everything", { oneofIndex: 0 }),
          messageField(6, "itself", ".test.Everything"),
          messageField(9, "lists", ".test.Everything", { label: Label.REPEATED }),
          messageField(12, "struct", ".google.protobuf.Struct"),
          messageField(15, "value", ".google.protobuf.Value"),
          messageField(18, "wrapped", ".google.protobuf.Int64Value"),
          messageField(21, "wrapped_list", ".google.protobuf.StringValue", { label: Label.REPEATED }),
          messageField(24, "texts", ".test.Everything.TextsEntry", { label: Label.REPEATED }),
          messageField(536_870_911, "messages", ".test.Everything.MessagesEntry", { label: Label.REPEATED }),
        ],
        oneofDecl: [{ name: "choice" }, ...(isProto3 ? optional.map(({ name }) => ({ name: `_${name}` })) : [])],
        nestedType: [
          {
            name: "TextsEntry",
            options: { mapEntry: true },
            field: [numberField(1, "key", Type.STRING), numberField(2, "value", Type.STRING)],
          },
          {
            name: "MessagesEntry",
            options: { mapEntry: true },
            field: [numberField(1, "key", Type.INT64), messageField(2, "value", ".test.Everything")],
          },
        ],
      },
    ],
    ...header,
  })
  const known = [file_google_protobuf_struct.proto, file_google_protobuf_wrappers.proto]
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [...known, file] }))
  return registry.getMessage("test.Everything")!
}

const WHOLE = [0, 1, 127, 128, 300, 2 ** 31 - 1]
const WHOLE_64 = [0n, 1n, 128n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n]
const TEXTS = ["", "a", "x".repeat(32), "x".repeat(33), "ä", "x".repeat(31) + "€", "😀".repeat(70), "half \ud800 of it"]

const VALUES: { readonly [type in ScalarType]: ReadonlyArray<unknown> } = {
  [ScalarType.STRING]: [...TEXTS, "long ".repeat(5000)],
  [ScalarType.BYTES]: [new Uint8Array(), new Uint8Array(3), new Uint8Array(20_000).fill(7)],
  [ScalarType.BOOL]: [false, true],
  [ScalarType.DOUBLE]: [0, -0, 0.5, Number.NaN],
  [ScalarType.FLOAT]: [0, -0, 0.5, Number.NaN],
  [ScalarType.INT32]: [...WHOLE, -1, -(2 ** 31)],
  [ScalarType.SINT32]: [...WHOLE, -1, -(2 ** 31)],
  [ScalarType.SFIXED32]: [...WHOLE, -1, -(2 ** 31)],
  [ScalarType.UINT32]: [...WHOLE, 2 ** 32 - 1],
  [ScalarType.FIXED32]: [...WHOLE, 2 ** 32 - 1],
  [ScalarType.INT64]: [...WHOLE_64, -1n, -(2n ** 63n)],
  [ScalarType.SINT64]: [...WHOLE_64, -1n, -(2n ** 63n)],
  [ScalarType.SFIXED64]: [...WHOLE_64, -1n, -(2n ** 63n)],
  [ScalarType.UINT64]: [...WHOLE_64, 2n ** 64n - 1n],
  [ScalarType.FIXED64]: [...WHOLE_64, 2n ** 64n - 1n],
}

/** Whole numbers below a limit that look random and are the same each time (a linear congruential generator). */
const dice = (seed: number) => {
  let state = seed
  return (limit: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

/** A message with some of its fields set. */
const some = (desc: DescMessage, roll: (limit: number) => number, depth = 0): object => {
  const one = (field: DescField): unknown => {
    const { message } = field
    if (message?.typeName === "google.protobuf.Struct") return { a: { b: [1, "x", null] } }
    if (message !== undefined && isWrapperDesc(message) && field.fieldKind === "message" && field.oneof === undefined) {
      const values = VALUES[message.fields[0].scalar]
      return values[roll(values.length)]
    }
    if (message !== undefined) return some(message, roll, depth + 1)
    if (field.enum !== undefined) return field.enum.values[roll(field.enum.values.length)]!.number
    const values = VALUES[field.scalar]
    return values[roll(values.length)]
  }
  const fields: { [name: string]: unknown } = {}
  for (const field of desc.fields) {
    if (roll(3) > 0 || (depth > 2 && field.message !== undefined)) continue
    const name = field.localName
    if (field.oneof !== undefined) fields[field.oneof.localName] = { case: name, value: one(field) }
    else if (field.fieldKind === "list") fields[name] = Array.from({ length: roll(4) }, () => one(field))
    else if (field.fieldKind === "map") fields[name] = { 1: one(field), 2: one(field) }
    else fields[name] = one(field)
  }
  const made = create(desc, fields as never)
  if (roll(5) === 0) made.$unknown = [{ no: 400_000, wireType: 0, data: new Uint8Array([roll(100)]) }]
  return made
}

const assertSame = (desc: DescMessage, message: object) => {
  const expected = Buffer.from(toBinary(desc, message as never))
  assert.isTrue(expected.equals(encode(desc, message)), desc.typeName)
}

describe("encoded messages", () => {
  it("are the bytes that protobuf-es makes, of all messages of the contracts", () => {
    const roll = dice(1)
    for (const { input, output } of [...PluginAPI.methods, ...PluginHooks.methods]) {
      for (const desc of [input, output]) {
        for (let round = 0; round < 5; round++) assertSame(desc, some(desc, roll))
      }
    }
  })

  it.each([
    ["proto3", { syntax: "proto3" }],
    ["proto2", { syntax: "proto2" }],
    ["edition 2023", { syntax: "editions", edition: Edition.EDITION_2023 }],
  ])("are so for all that a message of %s can have", (_, header) => {
    const desc = everything(header)
    const roll = dice(2)
    for (let round = 0; round < 100; round++) assertSame(desc, some(desc, roll))
    assertSame(desc, create(desc))
  })

  it("do not depend on what was encoded before, nor change with what is encoded later", () => {
    const post = create(PostSchema, { id: "id", message: "m" })
    const first = encode(PostSchema, post)
    const expected = toBinary(PostSchema, post)
    const large = create(PostSchema, {
      message: "ü".repeat(3_000_000),
      participants: [{ username: "x".repeat(200_000) }],
    })
    assert.deepStrictEqual(fromBinary(PostSchema, encode(PostSchema, large)), large)
    assert.throws(() => encode(PostSchema, { ...post, message: "other", fileIds: [1n, { toString: 1 }] }))
    assert.isTrue(Buffer.from(expected).equals(first))
    assertSame(PostSchema, post)
  })

  it("are refused with protobuf-es' own words where a field is not as it should be", () => {
    const post = create(PostSchema, { message: "m" })
    const wrong: ReadonlyArray<object> = [
      { ...post, createAt: 2n ** 64n },
      { ...post, createAt: "x" },
      { ...post, participants: [post] },
      { ...post, metadata: post },
      create(UserSchema),
    ]
    for (const message of wrong) {
      let said: unknown
      try {
        toBinary(PostSchema, message as never)
      } catch (error) {
        said = error
      }
      assert.instanceOf(said, Error)
      assert.throws(() => encode(PostSchema, message), said.message)
    }
  })
})
