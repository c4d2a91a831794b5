/** Archives written byte by byte: what tools refuse to make. */
import { gzipSync } from "node:zlib"

const BLOCK = 512

/** Zeros up to the end of a block. */
const padded = (content: Buffer): Buffer =>
  Buffer.concat([content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)])

export interface Fields {
  readonly content?: string | Buffer
  /** Where the header says another size than the content has. */
  readonly size?: number
  /** The type's character; `0` is a file. */
  readonly type?: string
  readonly mode?: number
  readonly link?: string
  readonly prefix?: string
  /** POSIX's, unless given. */
  readonly magic?: string
  readonly sum?: number
}

/** A header, and a content that fills whole blocks. */
export const entry = (name: string | Buffer, fields: Fields = {}): Buffer => {
  const content = Buffer.from(fields.content ?? "")
  const header = Buffer.alloc(BLOCK)
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`
  Buffer.from(name).copy(header, 0, 0, 100)
  header.write(octal(fields.mode ?? 0o644, 7), 100)
  header.write(octal(0, 7), 108)
  header.write(octal(0, 7), 116)
  header.write(octal(fields.size ?? content.length, 11), 124)
  header.write(octal(0, 11), 136)
  header.write("        ", 148)
  header.write(fields.type ?? "0", 156)
  header.write(fields.link ?? "", 157)
  header.write(fields.magic ?? "ustar\x0000", 257)
  header.write(fields.prefix ?? "", 345)
  const sum = fields.sum ?? header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return Buffer.concat([header, padded(content)])
}

/** POSIX's extended header for the entry after it. */
export const pax = (records: { readonly [key: string]: string | Buffer }, type = "x"): Buffer => {
  const content = Buffer.concat(
    Object.entries(records).map(([key, value]) => {
      const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")])
      let length = rest.length
      while (length !== rest.length + String(length).length) length = rest.length + String(length).length
      return Buffer.concat([Buffer.from(String(length)), rest])
    }),
  )
  return entry("PaxHeader", { type, content })
}

/** GNU's long name for the entry after it. */
export const longName = (name: string, type = "L"): Buffer =>
  entry("././@LongLink", { type, content: `${name}\0`, magic: "ustar  \0" })

/** The end of an archive. */
export const END = Buffer.alloc(2 * BLOCK)

/** A plugin's manifest, as an entry. */
export const manifest = (path = "plugin.json", id = "hello"): Buffer =>
  entry(path, { content: JSON.stringify({ id, name: id, version: "1.0.0" }) })

/** The entries of an archive, packed. */
export const archive = (...entries: ReadonlyArray<Buffer>): Buffer => gzipSync(Buffer.concat([...entries, END]))
