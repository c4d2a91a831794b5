/** Requests and answers that nobody sends by mistake, made from the contract. */
import {
  create,
  type DescField,
  type DescMessage,
  type MessageInitShape,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf"
import { PluginHooks } from "../../../src/generated/mattermost/pluginapi/v1/plugin_hooks_pb.js"
import { PluginAPI } from "../../../src/generated/mattermost/pluginapi/v1/plugin_api_pb.js"

/** Texts that are too long, or not what any field wants. */
const TEXTS = [
  "x".repeat(5000),
  "../../etc/passwd\0",
  "' OR 1=1; --",
  "__proto__",
  "\u202e\ufeff\u{1f600}",
  " @ ",
  "-1",
]
const INTEGERS = [-1, 2 ** 31 - 1, -(2 ** 31), 0]
const BIG = [2n ** 63n - 1n, -(2n ** 63n), -1n, 2n ** 53n]
const NUMBERS = [Number.NaN, Number.POSITIVE_INFINITY, -0, 1e308]

const pick = <A>(all: ReadonlyArray<A>, seed: number): A => all[seed % all.length]!

const scalar = (type: ScalarType, seed: number): unknown => {
  switch (type) {
    case ScalarType.STRING:
      return pick(TEXTS, seed)
    case ScalarType.BYTES:
      return Buffer.from([0xff, 0xfe, seed])
    case ScalarType.BOOL:
      return seed % 2 === 0
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return pick(NUMBERS, seed)
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return pick(BIG, seed)
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return 2n ** 64n - 1n
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return 2 ** 32 - 1
    default:
      return pick(INTEGERS, seed)
  }
}

/** How deep messages are filled. */
const DEPTH = 3

const value = (field: DescField, seed: number, depth: number): unknown => {
  if (field.message?.typeName === "google.protobuf.Struct") return { [pick(TEXTS, seed)]: [pick(TEXTS, seed + 1), {}] }
  if (field.message !== undefined) return filled(field.message, seed + 1, depth + 1)
  return field.enum === undefined ? scalar(field.scalar, seed) : 99
}

const filled = (desc: DescMessage, seed: number, depth = 0): object => {
  if (depth > DEPTH || desc.typeName.startsWith("google.protobuf.")) return {}
  const plain = desc.fields.filter((field) => field.oneof === undefined)
  return Object.fromEntries(
    plain.map((field, index) => {
      const made = value(field, seed + index, depth)
      if (field.fieldKind === "list") return [field.localName, [made, made]]
      return [
        field.localName,
        field.fieldKind === "map" ? { [field.mapKey === ScalarType.STRING ? "k" : 1]: made } : made,
      ]
    }),
  )
}

const made = (desc: DescMessage, seed: number): Uint8Array =>
  toBinary(desc, create(desc, filled(desc, seed) as MessageInitShape<DescMessage>))

const noMessage = (seed: number): Uint8Array =>
  Buffer.from(Array.from({ length: 100 }, (_, index) => (index * 7919 + seed * 104_729) % 256))

const SEEDS = [0, 1, 2, 3, 4, 5, 6]

/** Each method of the host API, with requests that are empty, filled with what is wrong, and no messages at all. */
export const requests = (): ReadonlyArray<readonly [method: string, request: Uint8Array]> =>
  PluginAPI.methods.flatMap(({ input, name }) =>
    [new Uint8Array(), noMessage(name.length), ...SEEDS.map((seed) => made(input, seed))].map(
      (request) => [name, request] as const,
    ),
  )

/** An answer of a hook, another each time. */
export const answer = (hook: string, seed: number): Uint8Array =>
  seed % SEEDS.length === 0
    ? noMessage(seed)
    : made(PluginHooks.methods.find(({ name }) => name === hook)!.output, seed)
