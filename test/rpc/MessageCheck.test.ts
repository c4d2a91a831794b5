import { execFileSync } from "node:child_process"
import { join } from "node:path"
import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  type MessageShape,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf"
import { ValueSchema } from "@bufbuild/protobuf/wkt"
import { assert, describe, it } from "@effect/vitest"
import { inject } from "vitest"
import { CommandResponseSchema } from "../../src/generated/mattermost/pluginapi/v1/api_command_pb.js"
import { LogInfoRequestSchema } from "../../src/generated/mattermost/pluginapi/v1/api_log_pb.js"
import {
  CreatePostRequestSchema,
  GetPostsForChannelResponseSchema,
} from "../../src/generated/mattermost/pluginapi/v1/api_post_pb.js"
import { MessageWillBePostedRequestSchema } from "../../src/generated/mattermost/pluginapi/v1/hooks_message_pb.js"
import { PluginAPI } from "../../src/generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import { PluginHooks } from "../../src/generated/mattermost/pluginapi/v1/plugin_hooks_pb.js"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { UserSchema } from "../../src/generated/mattermost/pluginapi/v1/user_pb.js"
import { INCOMING, jsonProblem, MAX_VALUES, messageProblem, OUTGOING } from "../../src/rpc/MessageCheck.ts"

const half = "\ud83d"

const nested = (levels: number, inner: JsonValue = "x"): { [key: string]: JsonValue } => {
  let made: { [key: string]: JsonValue } = { a: inner }
  for (let level = 1; level < levels; level++) made = { a: made }
  return made
}

const nestedLists = (levels: number): JsonValue => {
  let made: JsonValue = "x"
  for (let level = 0; level < levels; level++) made = [made]
  return made
}

/** Every message that goes over the wire. */
const contract = new Set<DescMessage>()
const collect = (desc: DescMessage): void => {
  if (contract.has(desc)) return
  contract.add(desc)
  for (const { message } of desc.fields) if (message !== undefined) collect(message)
}
for (const { methods } of [PluginAPI, PluginHooks]) {
  for (const { input, output } of methods) [input, output].forEach(collect)
}

/** What must not be in a field, and what may. */
const samples = (field: DescField): ReadonlyArray<readonly [value: unknown, isRight: boolean]> => {
  if (field.message !== undefined) {
    switch (field.message.typeName) {
      case "google.protobuf.Struct":
        // Within a Value it is a message.
        if (field.parent.typeName === "google.protobuf.Value") return []
        return [
          [{ a: [1, null, "é😀", true, {}] }, true],
          [{ a: Number.NaN }, false],
          [{ [half]: 1 }, false],
          [[], false],
        ]
      default:
        return []
    }
  }
  if (field.enum !== undefined) {
    return [
      [1, true],
      ["OPEN", false],
    ]
  }
  switch (field.scalar) {
    case ScalarType.STRING:
      return [
        ["é😀", true],
        [half, false],
        [7, false],
      ]
    case ScalarType.BYTES:
      return [
        [new Uint8Array([255]), true],
        ["x", false],
      ]
    case ScalarType.BOOL:
      return [
        [true, true],
        [1, false],
      ]
    case ScalarType.INT32:
      return [
        [-(2 ** 31), true],
        [2 ** 31, false],
        [0.5, false],
      ]
    case ScalarType.UINT32:
      return [
        [2 ** 32 - 1, true],
        [-1, false],
      ]
    case ScalarType.INT64:
      return [
        [BigInt(Number.MAX_SAFE_INTEGER), true],
        [-BigInt(Number.MAX_SAFE_INTEGER), true],
        [2n ** 60n, false],
        [-(2n ** 53n), false],
        [7, false],
      ]
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return [
        [0.5, true],
        [Number.POSITIVE_INFINITY, false],
        [Number.NaN, false],
      ]
    default:
      throw new Error(`a field of a kind that this test does not know: ${field.toString()}`)
  }
}

describe("a message's check", () => {
  it("finds what is wrong in every field of the contract, and names it", () => {
    let fields = 0
    for (const desc of contract) {
      assert.isUndefined(messageProblem(desc, create(desc)), desc.typeName)
      for (const field of desc.fields) {
        if (field.oneof !== undefined) continue
        for (const [value, isRight] of samples(field)) {
          fields++
          const held = field.fieldKind === "list" ? [value] : field.fieldKind === "map" ? { k: value } : value
          const problem = messageProblem(desc, { ...create(desc), [field.localName]: held })
          if (isRight) assert.isUndefined(problem, `${field.toString()}: ${problem?.reason}`)
          else assert.isTrue(problem?.path.startsWith(field.name), `${field.toString()}: ${problem?.path}`)
        }
      }
    }
    assert.isAbove(fields, 3000)
  })

  it("says where, in the contract's names", () => {
    const inPost = (post: object) =>
      messageProblem(CreatePostRequestSchema, create(CreatePostRequestSchema, { post: post as never }))
    const cases: ReadonlyArray<readonly [problem: ReturnType<typeof inPost>, path: string, reason: RegExp]> = [
      [inPost({ props: { a: [1, 2, 3, Number.NaN] } }), "post.props.a[3]", /finite/],
      [inPost({ props: { a: { b: [half] } } }), "post.props.a.b[0]", /Unicode/],
      [inPost({ props: { a: { [`x${half}`]: 1 } } }), "post.props.a.x\ufffd", /key/],
      [inPost({ createAt: 2n ** 60n }), "post.create_at", /beyond ±9007199254740991/],
      [
        inPost({ participants: [{}, { notifyProps: { desktop: half } }] }),
        "post.participants[1].notify_props.desktop",
        /Unicode/,
      ],
      [inPost({ metadata: { embeds: [{ data: { n: Number.NaN } }] } }), "post.metadata.embeds[0].data.n", /finite/],
      [inPost({ props: { a: undefined } }), "post.props.a", /JSON/],
      [inPost({ props: { a: 1n } }), "post.props.a", /JSON/],
      [messageProblem(UserSchema, create(UserSchema, { props: { [half]: "x" } })), "props.\ufffd", /key/],
      [
        messageProblem(
          LogInfoRequestSchema,
          create(LogInfoRequestSchema, {
            keyValuePairs: [{ key: "k", value: { kind: { case: "numberValue", value: Number.NaN } } }],
          }),
        ),
        "key_value_pairs[0].value.number_value",
        /finite/,
      ],
      [jsonProblem({ props: JSON.parse('{"a":[1e999]}') }), "props.a[0]", /finite/],
    ]
    for (const [problem, path, reason] of cases) {
      assert.strictEqual(problem?.path, path)
      assert.match(problem?.reason ?? "", reason)
    }
    const long = inPost({ props: { ["k".repeat(1e6)]: nested(20, Number.NaN) } })
    assert.isAtMost(long?.path.length ?? 1e6, 201)
    assert.match(long?.path ?? "", /^post\.props\.k{40}…/)
  })

  it("bounds how deep a message nests, however deep that is", () => {
    const post = (props: JsonValue) => create(CreatePostRequestSchema, { post: { props: props as never } })
    assert.isUndefined(messageProblem(CreatePostRequestSchema, post(nested(29))))
    const deeper = messageProblem(CreatePostRequestSchema, post(nested(30)))
    assert.match(deeper?.path ?? "", /^post\.props\.a(\.a)+$/)
    assert.match(deeper?.reason ?? "", /too deeply/)
    assert.isUndefined(messageProblem(CreatePostRequestSchema, post({ a: nestedLists(43) })))
    for (const hostile of [nested(100_000), nestedLists(100_000)]) {
      assert.match(jsonProblem({ props: hostile })?.reason ?? "", /too deeply/)
      assert.match(messageProblem(CreatePostRequestSchema, post({ a: hostile }))?.reason ?? "", /too deeply/)
    }
    let response: MessageShape<typeof CommandResponseSchema> = create(CommandResponseSchema)
    for (let level = 0; level < 90; level++) response = create(CommandResponseSchema, { attachments: [response] })
    assert.isUndefined(messageProblem(CommandResponseSchema, response))
    assert.match(
      messageProblem(CommandResponseSchema, create(CommandResponseSchema, { attachments: [response] }))?.path ?? "",
      /^attachments\[0\]\.attachments\[0\]/,
    )
    // Not even one that holds itself is followed for ever.
    const self: { [key: string]: JsonValue } = {}
    self["a"] = self
    assert.match(jsonProblem(self)?.reason ?? "", /too deeply/)
  })

  it("takes all numbers of the wire where no JSON has to carry them, but in JSON's own messages", () => {
    const limits = { ...INCOMING, json: false }
    const problem = (fields: object) => messageProblem(PostSchema, { ...create(PostSchema), ...fields }, limits)
    assert.isUndefined(problem({ createAt: 2n ** 63n - 1n }))
    assert.strictEqual(problem({ createAt: 2n ** 63n })?.reason, "is not an integer of 64 bits")
    assert.strictEqual(problem({ props: { a: Number.NaN } })?.reason, "is not a finite number")
  })

  it("bounds how many values it has, and how many bytes", () => {
    const numbers = (count: number) => create(PostSchema, { props: { n: Array.from({ length: count }, () => 1) } })
    assert.isUndefined(messageProblem(PostSchema, numbers(MAX_VALUES - 10)))
    assert.match(messageProblem(PostSchema, numbers(500_000))?.path ?? "", /^props\.n\[99/)
    assert.isUndefined(messageProblem(PostSchema, numbers(500_000), OUTGOING))
    const limits = { ...INCOMING, bytes: 1000 }
    assert.isUndefined(messageProblem(PostSchema, create(PostSchema, { message: "é".repeat(490) }), limits))
    assert.strictEqual(
      messageProblem(PostSchema, create(PostSchema, { message: "é".repeat(510) }), limits)?.path,
      "message",
    )
    assert.strictEqual(
      messageProblem(PostSchema, create(PostSchema, { props: { a: "x".repeat(600), b: "x".repeat(600) } }), limits)
        ?.path,
      "props.b",
    )
    const unknown = create(PostSchema)
    unknown.$unknown = Array.from({ length: MAX_VALUES }, () => ({ no: 999, wireType: 0, data: new Uint8Array([1]) }))
    assert.isDefined(messageProblem(PostSchema, unknown))
  })

  it("takes what comes back from the wire", () => {
    const value = fromJson(ValueSchema, { a: [1, { b: null }, "x", true], c: {} })
    assert.isUndefined(messageProblem(ValueSchema, fromBinary(ValueSchema, toBinary(ValueSchema, value))))
    const bad = fromJson(ValueSchema, { a: [1] })
    ;(bad.kind.value as any).fields.a.kind.value.values[0].kind.value = Number.NaN
    assert.strictEqual(
      messageProblem(ValueSchema, fromBinary(ValueSchema, toBinary(ValueSchema, bad)))?.path,
      "struct_value.fields.a.list_value.values[0].number_value",
    )
  })
})

const python = inject("python")

describe.skipIf("missing" in python)("the deepest message that is taken", () => {
  it("can be read by Python's protobuf, in every message that carries it", () => {
    const props = [nested(29), { a: nestedLists(43) }]
    const messages = props.flatMap((props) => {
      const post = create(PostSchema, { props })
      assert.isUndefined(messageProblem(CreatePostRequestSchema, create(CreatePostRequestSchema, { post })))
      return [
        [MessageWillBePostedRequestSchema, create(MessageWillBePostedRequestSchema, { post })],
        [
          GetPostsForChannelResponseSchema,
          create(GetPostsForChannelResponseSchema, { postList: { order: ["p"], posts: { p: post } } }),
        ],
      ] as ReadonlyArray<readonly [DescMessage, any]>
    })
    const script = `
import json, sys
from mattermost_plugin._contract import contract_message
for name, data in json.load(sys.stdin):
    message = contract_message(name).FromString(bytes.fromhex(data))
    print(name, message.ByteSize())
`
    const output = execFileSync("bin" in python ? join(python.bin, "python") : "", ["-c", script], {
      input: JSON.stringify(
        messages.map(([desc, message]) => [desc.name, Buffer.from(toBinary(desc, message)).toString("hex")]),
      ),
      encoding: "utf8",
    })
    assert.strictEqual(output.trim().split("\n").length, 4)
    for (const [desc, message] of messages) assert.isUndefined(messageProblem(desc, message, OUTGOING))
  })
})
