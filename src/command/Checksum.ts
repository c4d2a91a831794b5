import { createHash, timingSafeEqual } from "node:crypto"
import { Duration, Effect, FileSystem, Schema } from "effect"

/** A file and the SHA-256 it must have. */
export interface Checksum {
  /** Absolute path. */
  readonly file: string
  /** 64 hexadecimal digits. */
  readonly sha256: string
}

/** A file is not the one that was meant to run. */
export class ChecksumError extends Schema.TaggedError<ChecksumError>()("ChecksumError", {
  pluginId: Schema.String,
  file: Schema.String,
  expected: Schema.String,
  /** Absent when the file can't be read. */
  actual: Schema.optional(Schema.String),
}) {
  override get message(): string {
    return this.actual === undefined
      ? `plugin ${this.pluginId}: ${this.file} can't be read to check its SHA-256`
      : `plugin ${this.pluginId}: ${this.file} has the SHA-256 ${this.actual}, not ${this.expected}; it was changed: install the plugin again, or pin the new checksum if the change is yours`
  }
}

/** How long it may take to read a file, of some gigabytes on a slow disk: a file may seem to have no end. */
const READ_LIMIT = Duration.minutes(1)

/** Bytes that are read at once, into one buffer: programs have tens of MiB, and a new buffer for each read is garbage. */
const READ_SIZE = 256 * 1024

/** A file's SHA-256 in lower-case hexadecimal digits. */
export const sha256 = Effect.fn("Checksum.sha256")(
  function* (fs: FileSystem.FileSystem, file: string) {
    // Opening a pipe would wait for somebody at its other end, and keep one of Node's few threads waiting.
    if ((yield* fs.stat(file)).type !== "File") return yield* Effect.fail("not a file" as const)
    const hash = createHash("sha256")
    const handle = yield* fs.open(file)
    const buffer = new Uint8Array(READ_SIZE)
    for (;;) {
      const read = yield* handle.read(buffer)
      if (read === 0) return hash.digest("hex")
      hash.update(buffer.subarray(0, read))
    }
  },
  Effect.scoped,
  Effect.timeout(READ_LIMIT),
)

/** Checks that a file has its checksum; compared in constant time. */
export const verify = Effect.fn("Checksum.verify")(function* (
  fs: FileSystem.FileSystem,
  pluginId: string,
  { file, sha256: expected }: Checksum,
) {
  const actual = yield* Effect.mapError(sha256(fs, file), () => new ChecksumError({ pluginId, file, expected }))
  // As text: decoding would drop whatever follows the last hexadecimal digit.
  const [wanted, found] = [Buffer.from(expected.toLowerCase()), Buffer.from(actual)]
  if (wanted.length !== found.length || !timingSafeEqual(wanted, found)) {
    return yield* new ChecksumError({ pluginId, file, expected, actual })
  }
})
