import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  ScalarType,
} from "@bufbuild/protobuf"
import { WireType } from "@bufbuild/protobuf/wire"
import { encode } from "./WireEncode.ts"

/**
 * How much memory a message may take when it is decoded, in bytes. On the wire three bytes can be a message of which
 * JavaScript makes an object of two kilobytes, so that a limit of what is received does not bound what becomes of it:
 * 3 MB of empty users are 1.8 GB. The estimate leaves out texts and bytes, which take what they take on the wire.
 * 600,000 values of JSON fit.
 */
export const MAX_DECODED_BYTES = 256 * 1024 * 1024

/** Below this no message can take that much: it would need a kilobyte of memory for each byte. */
const SMALL_MESSAGE = MAX_DECODED_BYTES / 1024

/** A message that is encoded already: it stands for the message wherever one is sent, and may be sent more than once. */
export class EncodedMessage {
  readonly bytes: Uint8Array
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

/** Encodes a message, or a plain object of a message's fields. */
export const encodeMessage = <D extends DescMessage>(
  desc: D,
  value: MessageInitShape<D> | EncodedMessage,
): Uint8Array => (value instanceof EncodedMessage ? value.bytes : encode(desc, create(desc, value)))

/**
 * Decodes a message that somebody else has sent; unknown fields are kept, so a newer peer's additions survive a round
 * trip.
 */
export const decodeMessage = <D extends DescMessage>(desc: D, bytes: Uint8Array): MessageShape<D> => {
  if (bytes.length > SMALL_MESSAGE && decodedBytes(desc, bytes) > MAX_DECODED_BYTES) {
    throw new RangeError(`a ${desc.typeName} would take more than ${MAX_DECODED_BYTES} bytes of memory`)
  }
  return fromBinary(desc, bytes)
}

/**
 * What protobuf-es needs for things, by measurement (Node 24): a message, each of its fields, and what else there is.
 */
const MESSAGE = 100
const FIELD = 50
const REFERENCE = 40
const BIGINT = 32
const NUMBER = 8
const UNKNOWN_FIELD = 150

/**
 * About how many bytes of memory decoding a message would take, texts and bytes left out; it stops counting above
 * `limit`. It looks at the encoded bytes only and makes nothing of them. What is not well-formed is for the decoder
 * to say.
 */
export const decodedBytes = (desc: DescMessage, bytes: Uint8Array, limit = MAX_DECODED_BYTES): number => {
  // The messages that the reader is in, and where they end.
  const stack = [{ shape: shapeOf(desc), end: bytes.length }]
  let memory = stack[0]!.shape.cost
  let position = 0

  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[position++]
      if (byte === undefined) return value
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    return value
  }

  while (position < bytes.length && memory <= limit) {
    while (position >= stack.at(-1)!.end && stack.length > 1) stack.pop()
    const { end, shape } = stack.at(-1)!
    const tag = varint()
    const field = shape.fields.get(Math.floor(tag / 8))
    memory += field === undefined ? UNKNOWN_FIELD : field.cost
    switch (tag % 8) {
      case WireType.Varint:
        varint()
        break
      case WireType.Bit64:
        position += 8
        break
      case WireType.Bit32:
        position += 4
        break
      case WireType.LengthDelimited: {
        const length = varint()
        const child = field?.child?.()
        if (child === undefined) {
          memory += length * (field?.costPerPackedByte ?? 0)
          position += length
        } else {
          memory += child.cost
          stack.push({ shape: child, end: Math.min(position + length, end) })
        }
        break
      }
      default:
    }
  }
  return memory
}

/** What each occurrence of a field costs; and the message in it, or what each byte of a packed list costs. */
interface FieldShape {
  readonly cost: number
  readonly child?: () => Shape
  readonly costPerPackedByte?: number
}

/** What a message costs, and its fields by number. */
interface Shape {
  readonly cost: number
  readonly fields: ReadonlyMap<number, FieldShape>
}

const shapes = new WeakMap<DescMessage, Shape>()

const shapeOf = (desc: DescMessage): Shape => {
  const known = shapes.get(desc)
  if (known !== undefined) return known
  const shape: Shape = {
    cost: MESSAGE + FIELD * desc.fields.length,
    fields: new Map(desc.fields.map((field) => [field.number, fieldShape(field)])),
  }
  shapes.set(desc, shape)
  return shape
}

const fieldShape = (field: DescField): FieldShape => {
  const value = valueShape(field)
  if (field.fieldKind !== "map") return value
  // An entry is a message of a key and a value.
  const entry: Shape = { cost: MESSAGE, fields: new Map([[2, value]]) }
  return { cost: REFERENCE, child: () => entry }
}

const valueShape = (field: DescField): FieldShape => {
  const { message } = field
  if (message !== undefined) return { cost: REFERENCE, child: () => shapeOf(message) }
  switch (field.scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return { cost: REFERENCE }
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
      return { cost: BIGINT, costPerPackedByte: BIGINT }
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return { cost: BIGINT, costPerPackedByte: BIGINT / 8 }
    case ScalarType.DOUBLE:
      return { cost: NUMBER, costPerPackedByte: 1 }
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return { cost: NUMBER, costPerPackedByte: NUMBER / 4 }
    default:
      return { cost: NUMBER, costPerPackedByte: NUMBER }
  }
}
