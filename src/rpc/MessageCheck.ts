import { type DescField, type DescMessage, type MessageShape, ScalarType } from "@bufbuild/protobuf"
import { isWrapperDesc } from "@bufbuild/protobuf/wkt"

/** What is wrong with a message, and where. */
export interface MessageProblem {
  /**
   * The contract's names, for example `post.props.a[3]`; empty for the message itself. Long keys and paths are
   * clipped.
   */
  readonly path: string
  /** Completes "`path` …", for example "is not a finite number". */
  readonly reason: string
}

/** The problem as a sentence's part. */
export const describeProblem = ({ path, reason }: MessageProblem): string =>
  `${path === "" ? "the message" : path} ${reason}`

/** How large a message may be. */
export interface MessageLimits {
  /** Levels of messages below the first; see {@link MAX_DEPTH}. */
  readonly depth: number
  /** Messages, items of lists, entries of maps, and values of JSON, in all. */
  readonly values: number
  /** Texts and bytes, in all, in bytes. */
  readonly bytes: number
  /** Whether JSON has to carry its numbers: integers up to {@link MAX_INTEGER}, and none that is not finite. */
  readonly json: boolean
}

/**
 * How deep a message may nest. Python's protobuf (upb, and pure Python), C++, C# and Java decode 100 messages below the
 * first one, protobuf-es 100 with it. An entry of a map is a message there, so on the wire an object within
 * an object (`google.protobuf.Struct`) costs three levels, the entry, its `Value` and the `Struct` in there, and a list
 * within a list two. What comes in 90 deep goes out deeper, in a list of posts (`post_list`, the entry of `posts`) for
 * example; ten levels are kept for that. So the JSON of a post's props nests 29 objects.
 */
export const MAX_DEPTH = 90

/**
 * How many values a message may have: whoever decodes it has to make something of each. A list of as many numbers takes
 * 1.1 MB on the wire, far from the 4 MiB which gRPC's implementations receive unless they are told otherwise.
 */
export const MAX_VALUES = 100_000

/** Integers of 64 bits that are more than this are other numbers in JSON, and none that `node:sqlite` answers. */
export const MAX_INTEGER = BigInt(Number.MAX_SAFE_INTEGER)

/** What may come in; bytes have limits where they are stored, and those of the transport. */
export const INCOMING: MessageLimits = {
  depth: MAX_DEPTH,
  values: MAX_VALUES,
  bytes: Number.POSITIVE_INFINITY,
  json: true,
}

/**
 * What may go out. Lists may have as many values as there are; deeper than {@link MAX_DEPTH} by what a list adds, and
 * still within what peers decode.
 */
export const OUTGOING: MessageLimits = {
  depth: 99,
  values: Number.POSITIVE_INFINITY,
  bytes: Number.POSITIVE_INFINITY,
  json: true,
}

/**
 * The first thing in a message that could not be sent, stored as JSON or in SQLite (with `json`), or read again by every
 * peer; or nothing. It looks at integers of 64 bits, numbers, texts and the keys of maps, at how deep the message nests and
 * how large it is, and at what the types of TypeScript promise, too. Bounded in time and depth whatever the message
 * is.
 */
export const messageProblem = <D extends DescMessage>(
  desc: D,
  message: MessageShape<D>,
  limits: MessageLimits = INCOMING,
): MessageProblem | undefined => problem(walkerOf(desc)(message, { limits, values: 0, bytes: 0 }, 0))

/** As {@link messageProblem}, of JSON: a body that is parsed and not decoded yet. */
export const jsonProblem = (json: unknown, limits: MessageLimits = INCOMING): MessageProblem | undefined =>
  problem(jsonValue(json, { limits, values: 0, bytes: 0 }, 0))

const UNLIMITED: MessageLimits = {
  depth: Number.POSITIVE_INFINITY,
  values: Number.POSITIVE_INFINITY,
  bytes: Number.POSITIVE_INFINITY,
  json: false,
}

/** What a value takes on the wire beside its text: tags, lengths, a number of 64 bits. */
const BYTES_PER_VALUE = 12

/**
 * About how many bytes a message that has no {@link messageProblem} takes on the wire; found faster than by encoding
 * it.
 */
export const approximateBytes = <D extends DescMessage>(desc: D, message: MessageShape<D>): number => {
  const walk: Walk = { limits: UNLIMITED, values: 0, bytes: 0 }
  walkerOf(desc)(message, walk, 0)
  return walk.bytes + BYTES_PER_VALUE * walk.values
}

/** A problem with its path so far, the innermost name first. */
interface Found {
  readonly reason: string
  readonly path: Array<string>
}

/** What was seen so far. */
interface Walk {
  readonly limits: MessageLimits
  values: number
  bytes: number
}

/** Looks at one value. `depth` is that of the message it is, or is in. */
// eslint-disable-next-line typescript/no-explicit-any -- each check is made for the type of its field, which only the descriptor knows
type Check = (value: any, walk: Walk, depth: number) => Found | undefined

const found = (reason: string): Found => ({ reason, path: [] })

/** Keys and paths longer than this are clipped: they are the sender's, and go into errors and logs. */
const MAX_KEY_SHOWN = 40
const MAX_PATH_SHOWN = 200

const clipped = (text: string, length: number): string =>
  (text.length > length ? `${text.slice(0, length)}…` : text).toWellFormed()

const problem = (found: Found | undefined): MessageProblem | undefined => {
  if (found === undefined) return undefined
  const path = found.path.toReversed().reduce((path, name) => {
    const separator = path === "" || name.startsWith("[") ? "" : "."
    return path.length > MAX_PATH_SHOWN ? path : path + separator + name
  }, "")
  return { path: clipped(path, MAX_PATH_SHOWN), reason: found.reason }
}

const at = (found: Found, name: string): Found => {
  found.path.push(name)
  return found
}

const atKey = (found: Found, key: string): Found => at(found, clipped(key, MAX_KEY_SHOWN))

/** Goes into a message: deeper, and one more. */
const enter = (walk: Walk, depth: number): Found | undefined => {
  if (depth > walk.limits.depth)
    return found(`is nested too deeply: more than ${walk.limits.depth} levels on the wire, where an object takes three`)
  return count(walk)
}

const count = (walk: Walk): Found | undefined =>
  ++walk.values > walk.limits.values
    ? found(`goes beyond the ${walk.limits.values} values that a message may have`)
    : undefined

const take = (walk: Walk, bytes: number): Found | undefined => {
  walk.bytes += bytes
  return walk.bytes > walk.limits.bytes
    ? found(`goes beyond the ${walk.limits.bytes} bytes that the message may have`)
    : undefined
}

/** Below this it does not matter that a letter may take three bytes. */
const SHORT_TEXT = 64

const text: Check = (value, walk) => {
  if (typeof value !== "string") return found("is not a text")
  if (!value.isWellFormed()) return found("is not well-formed Unicode: it has half a surrogate pair")
  return take(walk, value.length < SHORT_TEXT ? value.length : Buffer.byteLength(value))
}

const bytes: Check = (value, walk) =>
  value instanceof Uint8Array ? take(walk, value.byteLength) : found("is not bytes")

const bool: Check = (value) => (typeof value === "boolean" ? undefined : found("is not a boolean"))

const finite: Check = (value) => (Number.isFinite(value) ? undefined : found("is not a finite number"))

const number: Check = (value, walk, depth) =>
  typeof value === "number" && !walk.limits.json ? undefined : finite(value, walk, depth)

const integer =
  (min: number, max: number): Check =>
  (value) =>
    Number.isInteger(value) && value >= min && value <= max ? undefined : found("is not an integer of 32 bits")

const int32 = integer(-(2 ** 31), 2 ** 31 - 1)
const uint32 = integer(0, 2 ** 32 - 1)

const integer64 =
  (min: bigint, max: bigint): Check =>
  (value, walk) => {
    if (typeof value !== "bigint" || value < min || value > max) return found("is not an integer of 64 bits")
    return walk.limits.json && (value > MAX_INTEGER || value < -MAX_INTEGER)
      ? found(`is an integer beyond ±${MAX_INTEGER}, which JSON can't carry`)
      : undefined
  }

const int64 = integer64(-(2n ** 63n), 2n ** 63n - 1n)
const uint64 = integer64(0n, 2n ** 64n - 1n)

const SCALARS: { readonly [type in ScalarType]: Check } = {
  [ScalarType.STRING]: text,
  [ScalarType.BYTES]: bytes,
  [ScalarType.BOOL]: bool,
  [ScalarType.DOUBLE]: number,
  [ScalarType.FLOAT]: number,
  [ScalarType.INT32]: int32,
  [ScalarType.SINT32]: int32,
  [ScalarType.SFIXED32]: int32,
  [ScalarType.UINT32]: uint32,
  [ScalarType.FIXED32]: uint32,
  [ScalarType.INT64]: int64,
  [ScalarType.SINT64]: int64,
  [ScalarType.SFIXED64]: int64,
  [ScalarType.UINT64]: uint64,
  [ScalarType.FIXED64]: uint64,
}

/** JSON as it is in a `google.protobuf.Value` at `depth`. */
const jsonValue: Check = (value, walk, depth) => {
  const limit = enter(walk, depth)
  if (limit !== undefined) return limit
  switch (typeof value) {
    case "string":
      return text(value, walk, depth)
    case "number":
      return finite(value, walk, depth)
    case "boolean":
      return undefined
    case "object":
      if (value === null) return undefined
      return Array.isArray(value) ? jsonList(value, walk, depth) : jsonObject(value, walk, depth + 1)
    default:
      return found("is not JSON")
  }
}

const jsonList: Check = (list: ReadonlyArray<unknown>, walk, depth) => {
  for (let index = 0; index < list.length; index++) {
    // The list, and the item's Value.
    const wrong = jsonValue(list[index], walk, depth + 2)
    if (wrong !== undefined) return at(wrong, `[${index}]`)
  }
  return undefined
}

/** The members of an object, a `google.protobuf.Struct` at `depth`. */
const jsonObject: Check = (object, walk, depth) => {
  if (typeof object !== "object" || object === null || Array.isArray(object)) return found("is not a JSON object")
  for (const key of Object.keys(object)) {
    // The entry, and the Value in it.
    const wrong = keyed(key, walk) ?? jsonValue(object[key], walk, depth + 2)
    if (wrong !== undefined) return atKey(wrong, key)
  }
  return undefined
}

const keyed = (key: string, walk: Walk): Found | undefined =>
  key.isWellFormed() ? take(walk, key.length) : found("has a key that is not well-formed Unicode")

const walkers = new WeakMap<DescMessage, Check>()

/** The check of a kind of message; made once. */
const walkerOf = (desc: DescMessage): Check => walkers.get(desc) ?? compile(desc)

const compile = (desc: DescMessage): Check => {
  let members: ReadonlyArray<Member> = []
  const walker: Check = (message, walk, depth) => {
    if (typeof message !== "object" || message === null) return found("is not a message")
    const limit = enter(walk, depth)
    if (limit !== undefined) return limit
    for (const { check, localName, name } of members) {
      const value = message[localName]
      if (value === undefined) continue
      const wrong = check(value, walk, depth)
      if (wrong !== undefined) return name === "" ? wrong : at(wrong, name)
    }
    for (const unknown of message.$unknown ?? []) {
      const wrong = count(walk) ?? take(walk, unknown.data.length)
      if (wrong !== undefined) return wrong
    }
    return undefined
  }
  // Before its members, which may be messages of the same kind.
  walkers.set(desc, walker)
  members = desc.members.map((member): Member => {
    if (member.kind === "field") return { name: member.name, localName: member.localName, check: fieldCheck(member) }
    const cases = new Map(
      member.fields.map((field) => [field.localName, { name: field.name, check: fieldCheck(field) }]),
    )
    const check: Check = ({ case: chosen, value }, walk, depth) => {
      if (chosen === undefined) return undefined
      const field = cases.get(chosen)
      if (field === undefined) return found("is none of its kinds")
      const wrong = field.check(value, walk, depth)
      return wrong === undefined ? undefined : at(wrong, field.name)
    }
    return { name: "", localName: member.localName, check }
  })
  return walker
}

/** A field or a oneof; the latter has no name in a path. */
interface Member {
  readonly name: string
  readonly localName: string
  readonly check: Check
}

const fieldCheck = (field: DescField): Check => {
  const item = itemCheck(field)
  // A message counts itself.
  const counts = field.message === undefined
  switch (field.fieldKind) {
    case "list":
      return (list, walk, depth) => {
        if (!Array.isArray(list)) return found("is not a list")
        for (let index = 0; index < list.length; index++) {
          const wrong = (counts ? count(walk) : undefined) ?? item(list[index], walk, depth)
          if (wrong !== undefined) return at(wrong, `[${index}]`)
        }
        return undefined
      }
    case "map":
      return (map, walk, depth) => {
        if (typeof map !== "object" || map === null) return found("is not a map")
        for (const key of Object.keys(map)) {
          // The entry is a message of its own.
          const wrong = enter(walk, depth + 1) ?? keyed(key, walk) ?? item(map[key], walk, depth + 1)
          if (wrong !== undefined) return atKey(wrong, key)
        }
        return undefined
      }
    default:
      return item
  }
}

/** The check of a field's value, or of one item or entry of it. */
const itemCheck = (field: DescField): Check => {
  const { message } = field
  if (message === undefined) return field.enum === undefined ? SCALARS[field.scalar] : int32
  // protobuf-es has JSON in place of a Struct, except within a Value, and a wrapper's value in place of a wrapper.
  if (message.typeName === "google.protobuf.Struct" && field.parent.typeName !== "google.protobuf.Value") {
    return (value, walk, depth) => enter(walk, depth + 1) ?? jsonObject(value, walk, depth + 1)
  }
  if (field.fieldKind === "message" && field.oneof === undefined && isWrapperDesc(message)) {
    return SCALARS[message.fields[0].scalar]
  }
  const walker = walkerOf(message)
  return (value, walk, depth) => walker(value, walk, depth + 1)
}
