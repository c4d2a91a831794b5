import { BinaryReader, WireType } from "@bufbuild/protobuf/wire"
import { MAX_METADATA_ENTRIES } from "./TtrpcLimits.ts"

/** What a request's frame carries (`ttrpc.Request`). */
export interface RequestEnvelope {
  readonly service: string
  readonly method: string
  readonly payload: Uint8Array
  /** How long the call may take, in nanoseconds: 0 without a limit, and negative where it is too late already. */
  readonly timeoutNano: number
  readonly metadata: ReadonlyArray<readonly [key: string, value: string]>
}

/** What a response's frame carries (`ttrpc.Response`). */
export interface ResponseEnvelope {
  /** 0 when the call has succeeded. */
  readonly code: number
  readonly details: string
  /** The whole status, `google.rpc.Status`, where it says more than its code and its text. */
  readonly statusDetails: Uint8Array | undefined
  readonly payload: Uint8Array
}

const EMPTY: Uint8Array = new Uint8Array()
const NO_ENTRIES: ReadonlyArray<never> = []

/** Decodes a request; throws where it is none. */
export const decodeRequest = (data: Uint8Array): RequestEnvelope => {
  const reader = new BinaryReader(data)
  let service = ""
  let method = ""
  let payload = EMPTY
  let timeoutNano = 0
  let metadata: Array<readonly [string, string]> | undefined
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === 4 && wireType === WireType.Varint) timeoutNano = Number(reader.int64())
    else if (wireType !== WireType.LengthDelimited) reader.skip(wireType, field)
    else if (field === 1) service = reader.string()
    else if (field === 2) method = reader.string()
    else if (field === 3) payload = reader.bytes()
    else if (field === 5) {
      metadata ??= []
      if (metadata.push(decodeEntry(reader.bytes())) > MAX_METADATA_ENTRIES) {
        throw new RangeError(`the call has more than ${MAX_METADATA_ENTRIES} entries of metadata`)
      }
    } else reader.skip(wireType, field)
  }
  return { service, method, payload, timeoutNano, metadata: metadata ?? NO_ENTRIES }
}

const decodeEntry = (data: Uint8Array): readonly [string, string] => {
  const reader = new BinaryReader(data)
  let key = ""
  let value = ""
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === 1 && wireType === WireType.LengthDelimited) key = reader.string()
    else if (field === 2 && wireType === WireType.LengthDelimited) value = reader.string()
    else reader.skip(wireType, field)
  }
  return [key, value]
}

/** Decodes a response; throws where it is none. */
export const decodeResponse = (data: Uint8Array): ResponseEnvelope => {
  const reader = new BinaryReader(data)
  let status: Uint8Array | undefined
  let payload = EMPTY
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === 1 && wireType === WireType.LengthDelimited) status = reader.bytes()
    else if (field === 2 && wireType === WireType.LengthDelimited) payload = reader.bytes()
    else reader.skip(wireType, field)
  }
  return status === undefined
    ? { code: 0, details: "", statusDetails: undefined, payload }
    : { ...decodeStatus(status), payload }
}

const decodeStatus = (data: Uint8Array): Omit<ResponseEnvelope, "payload"> => {
  const reader = new BinaryReader(data)
  let code = 0
  let details = ""
  let hasMore = false
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === 1 && wireType === WireType.Varint) code = reader.int32()
    else if (field === 2 && wireType === WireType.LengthDelimited) details = reader.string()
    else {
      hasMore ||= field === 3
      reader.skip(wireType, field)
    }
  }
  return { code, details, statusDetails: hasMore ? data : undefined }
}

/** The encoded details of a `google.rpc.Status`, each a `google.protobuf.Any`; throws where it is none. */
export const statusDetailsOf = (data: Uint8Array): ReadonlyArray<Uint8Array> => {
  const reader = new BinaryReader(data)
  const details: Array<Uint8Array> = []
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === 3 && wireType === WireType.LengthDelimited) details.push(reader.bytes())
    else reader.skip(wireType, field)
  }
  return details
}

/** The tag of a field whose value has a length. */
const lengthTag = (field: number): number => field * 8 + WireType.LengthDelimited

/** The bytes that a varint takes. */
const varintSize = (value: number): number => {
  let size = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++
  return size
}

/** Writes a varint, and answers where it ends. */
const writeVarint = (target: Buffer, offset: number, value: number): number => {
  let position = offset
  let rest = value
  while (rest >= 0x80) {
    target[position++] = (rest % 0x80) + 0x80
    rest = Math.floor(rest / 0x80)
  }
  target[position++] = rest
  return position
}

/** Fields of bytes and texts, encoded one after the other. */
const fields = (...list: ReadonlyArray<readonly [field: number, value: string | Uint8Array]>): Buffer =>
  Buffer.concat(
    list.flatMap(([field, value]) => {
      const bytes = Buffer.from(value as string)
      const head = Buffer.allocUnsafe(1 + varintSize(bytes.length))
      head[0] = lengthTag(field)
      writeVarint(head, 1, bytes.length)
      return [head, bytes]
    }),
  )

/** The part of a request that is the same in all requests of a method. */
export const encodeMethod = (service: string, method: string): Buffer => fields([1, service], [2, method])

/** The bytes of a field of a text in ASCII. */
const textSize = (text: string): number => 1 + varintSize(text.length) + text.length

const writeText = (target: Buffer, offset: number, field: number, text: string): number => {
  target[offset] = lengthTag(field)
  const position = writeVarint(target, offset + 1, text.length)
  return position + target.write(text, position, "latin1")
}

/** Adds what goes along with a request, in ASCII, to the encoded name of its method. */
export const withMetadata = (method: Buffer, entries: ReadonlyArray<readonly [key: string, value: string]>): Buffer => {
  const sizes = entries.map(([key, value]) => textSize(key) + textSize(value))
  const total = sizes.reduce((sum, size) => sum + 1 + varintSize(size) + size, method.length)
  const target = Buffer.allocUnsafe(total)
  target.set(method)
  let position = method.length
  for (const [index, [key, value]] of entries.entries()) {
    target[position] = lengthTag(5)
    position = writeVarint(target, position + 1, sizes[index]!)
    position = writeText(target, position, 1, key)
    position = writeText(target, position, 2, value)
  }
  return target
}

/** The status of a response; `details` are the encoded `google.protobuf.Any` fields of a `google.rpc.Status`. */
export const encodeStatus = (code: number, details: string, more: ReadonlyArray<Uint8Array> = []): Buffer => {
  const status = Buffer.concat([
    Buffer.from([8, code]),
    details === "" ? EMPTY : fields([2, details]),
    ...more.map((any) => fields([3, any])),
  ])
  return fields([1, status])
}

/** What a message is sent as: the fields ahead of its payload, and the payload. */
export interface Envelope {
  /** The encoded fields, other than the payload. */
  readonly fields: Buffer | undefined
  /** In nanoseconds, of a request; 0 without a limit. */
  readonly timeoutNano: number
  /** The number of the payload's field. */
  readonly field: number
  readonly payload: Uint8Array
}

/** The number of the payload's field in a request and in a response. */
export const payloadField = { request: 3, response: 2 } as const

/** The bytes that an envelope takes ahead of its payload. */
export const headSize = ({ fields, payload, timeoutNano }: Envelope): number =>
  (fields?.length ?? 0) +
  (timeoutNano === 0 ? 0 : 1 + varintSize(timeoutNano)) +
  (payload.length === 0 ? 0 : 1 + varintSize(payload.length))

/** Writes what is ahead of an envelope's payload. */
export const writeHead = (target: Buffer, offset: number, { field, fields, payload, timeoutNano }: Envelope): void => {
  let position = offset
  if (fields !== undefined) {
    target.set(fields, position)
    position += fields.length
  }
  if (timeoutNano !== 0) {
    target[position] = 4 * 8 + WireType.Varint
    position = writeVarint(target, position + 1, timeoutNano)
  }
  if (payload.length !== 0) {
    target[position] = lengthTag(field)
    writeVarint(target, position + 1, payload.length)
  }
}
