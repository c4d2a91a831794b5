import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { mkdir, open, stat, statfs } from "node:fs/promises"
import { join } from "node:path"
import { Readable, Transform } from "node:stream"
import { pipeline } from "node:stream/promises"
import { createGunzip } from "node:zlib"
import { Duration, Effect, Stream } from "effect"
import { extract, type Header as TarHeader } from "tar-stream"
import { abortable, type BundleFile, inOrder, makeEmpty, modeOf, removeAll } from "./BundleFiles.ts"
import { BundleLimits, type BundleLimitsValues, HEADERS_LIMIT, RATIO_FREE } from "./BundleLimits.ts"
import { checkRoot, isManifest } from "./BundleRoot.ts"
import { type BundleRefusedError, Refusal, refused } from "./BundleRefusedError.ts"
import { entryPath, EntryPaths } from "./EntryName.ts"
import { contentEnd, END_BYTES, TarBytes } from "./TarBytes.ts"

/** What an archive was unpacked to. */
export interface UnpackedBundle {
  /** The folder with the manifest: that which was named, or the only one in it. */
  readonly directory: string
  /** All files in it, by their paths from there. */
  readonly files: ReadonlyArray<BundleFile>
}

/** A file's path, or the bytes themselves, as they come in an upload. */
export type ArchiveSource<E = never, R = never> = string | Stream.Stream<Uint8Array, E, R>

/**
 * Unpacks a `.tar.gz` of a plugin into a folder, which is made, or is there and empty; its disk is that of the store. The
 * archive is taken for hostile: see docs/bundles.md for what is refused, and {@link BundleLimits} for its bounds. When it
 * fails, is interrupted or takes too long, the folder is gone.
 *
 * ```ts
 * const { directory, files } = yield* unpackArchive("hello-1.0.0.tar.gz", "/srv/plugins/.staging/1")
 * ```
 */
export const unpackArchive = <E = never, R = never>(
  source: ArchiveSource<E, R>,
  folder: string,
): Effect.Effect<UnpackedBundle, BundleRefusedError, R> =>
  Effect.gen(function* () {
    const limits = yield* BundleLimits
    const name = typeof source === "string" ? source : "the archive"
    const bytes =
      typeof source === "string" ? source : yield* Stream.toAsyncIterableEffect(Stream.mapError(source, sourceRefusal))
    return yield* abortable(async (signal) => {
      await makeEmpty(folder)
      try {
        return await unpack(bytes, folder, limits, signal)
      } catch (error) {
        await removeAll(folder)
        throw error
      }
    }).pipe(
      Effect.timeoutOrElse({
        duration: limits.time,
        orElse: () => {
          const time = Duration.format(Duration.fromInputUnsafe(limits.time))
          return Effect.fail(new Refusal("limit", `was not unpacked within ${time}; send it over a faster line`))
        },
      }),
      Effect.mapError((error) => refused(name, error)),
    )
  })

const sourceRefusal = (error: unknown): Refusal =>
  new Refusal("source", `can't be read: ${error instanceof Error ? error.message : String(error)}`)

/** Opens an archive's file. Reading a pipe or a device would wait, or never end. */
const openFile = async (file: string): Promise<Readable> => {
  const info = await stat(file).catch((error: unknown) => Promise.reject(sourceRefusal(error)))
  if (!info.isFile()) throw new Refusal("source", "is no file; pack the plugin's folder into a .tar.gz")
  return createReadStream(file)
}

/** What may come out of gunzip at once: four times its default, since each piece passes several hands. */
const CHUNK = 64 * 1024

const unpack = async (
  source: string | AsyncIterable<Uint8Array>,
  folder: string,
  limits: BundleLimitsValues,
  signal: AbortSignal,
): Promise<UnpackedBundle> => {
  const input = typeof source === "string" ? await openFile(source) : Readable.from(source)
  const tar = new TarBytes()
  const unpacking = new Unpacking(folder, limits, tar)
  let packed = 0
  const counted = watch((chunk) => {
    packed += chunk.length
    return packed > limits.archive ? new Refusal("limit", `has more than ${limits.archive} bytes`) : undefined
  })
  const measured = watch((chunk) => {
    tar.add(chunk)
    if (tar.length > limits.unpacked) return new Refusal("limit", `has more than ${limits.unpacked} bytes unpacked`)
    if (tar.length > RATIO_FREE && tar.length > packed * limits.ratio) {
      return new Refusal("limit", `becomes more than ${limits.ratio} times as large when it is unpacked`)
    }
    return tar.usedLength - unpacking.end > HEADERS_LIMIT
      ? new Refusal("limit", `has more than ${HEADERS_LIMIT} bytes of headers for one entry`)
      : undefined
  })
  const gunzip = createGunzip({ chunkSize: CHUNK })
  const parser = extract()
  // Both ends fail: this one tells why, unless it is only that nobody reads any more.
  const piped = pipeline(input, counted, gunzip, measured, parser, { signal }).then(
    () => undefined,
    (error: unknown) => error,
  )
  let failure: unknown
  try {
    for await (const entry of parser) await unpacking.take(entry as unknown as Entry)
  } catch (error) {
    failure = error
  }
  const pipeFailure = await piped
  if (failure instanceof Refusal) throw failure
  if (pipeFailure !== undefined && codeOf(pipeFailure) !== "ERR_STREAM_PREMATURE_CLOSE") throw asRefusal(pipeFailure)
  if (failure !== undefined) throw failure
  if (gunzip.bytesWritten !== packed) {
    throw new Refusal("broken", `goes on after the end of what gzip packed; ${REPACK}`)
  }
  return unpacking.finish()
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

/** What to do about an archive that its transport or its tool has spoiled. */
const REPACK = "pack it again, and check that all of it has arrived"

/** What a failure of the stream says of the archive. */
const asRefusal = (error: unknown): unknown => {
  if (error instanceof Refusal || !(error instanceof Error)) return error
  if (codeOf(error)?.startsWith("Z_") === true) {
    return new Refusal("broken", `can't be unpacked by gzip (${error.message}); ${REPACK}`)
  }
  // What is left are failures of reading the source, which come with a code, and what tar-stream throws.
  return codeOf(error) === undefined || error.message === "Unexpected end of data"
    ? new Refusal("broken", `is no whole tar archive (${error.message.split(".", 1)[0]}); ${REPACK}`)
    : sourceRefusal(error)
}

/** Passes bytes on until there is something wrong with them. */
const watch = (look: (chunk: Buffer) => Refusal | undefined): Transform =>
  new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      const refusal = look(chunk)
      if (refusal === undefined) done(undefined, chunk)
      else done(refusal)
    },
  })

/** An entry on its way out of the parser. */
type Entry = AsyncIterable<Buffer> & {
  readonly header: TarHeader & {
    /** Where its content begins in the archive. */
    readonly byteOffset: number
  }
}

/** Bytes that are written until the free space of the disk is asked for again. */
const DISK_INTERVAL = 16 * 1024 * 1024

class Unpacking {
  /** Where the content of the last entry ends in the archive. */
  end = 0
  readonly #folder: string
  readonly #limits: BundleLimitsValues
  readonly #tar: TarBytes
  readonly #paths = new EntryPaths()
  readonly #made = new Set<string>([""])
  readonly #files: Array<BundleFile> = []
  #entries = 0
  /** Bytes that may be written until the disk is looked at. */
  #allowance = 0

  constructor(folder: string, limits: BundleLimitsValues, tar: TarBytes) {
    this.#folder = folder
    this.#limits = limits
    this.#tar = tar
  }

  async take(entry: Entry): Promise<void> {
    const { header } = entry
    const { name, size, type } = header
    const before = this.end
    this.end = contentEnd(header.byteOffset, size)
    if (this.#tar.hasEndWithin(before, header.byteOffset)) {
      throw new Refusal("broken", `comes after the end of the archive; pack everything into one archive`, name)
    }
    if (++this.#entries > this.#limits.entries) {
      throw new Refusal("limit", `has more than ${this.#limits.entries} files and folders`)
    }
    const path = pathOf(header)
    const isFolder = type === "directory"
    if (path === "" && isFolder) return
    const problem = this.#paths.add(path, isFolder)
    if (problem !== undefined) throw new Refusal("same", problem, name)
    if (isFolder) return await this.#makeFolder(path)
    if (size > this.#limits.file) throw new Refusal("limit", `has more than ${this.#limits.file} bytes`, name)
    await this.#reserve(size)
    await this.#makeFolder(path.slice(0, Math.max(0, path.lastIndexOf("/"))))
    this.#files.push(await writeEntry(join(this.#folder, path), path, entry))
  }

  /** Looks for the archive's end, and for the plugin in what was unpacked. */
  finish(): UnpackedBundle {
    if (this.#tar.usedLength > this.end) throw new Refusal("broken", `has something after its last entry; ${REPACK}`)
    if (!this.#tar.hasEndWithin(this.end, this.#tar.length)) {
      throw new Refusal("broken", `has no end: the last ${END_BYTES} bytes should be zeros; ${REPACK}`)
    }
    const top = topFolder(this.#files, [...this.#made])
    const prefix = top === "" ? "" : `${top}/`
    const files = inOrder(this.#files.map((file) => ({ ...file, path: file.path.slice(prefix.length) })))
    checkRoot(files)
    return { directory: join(this.#folder, top), files }
  }

  async #makeFolder(path: string): Promise<void> {
    if (this.#made.has(path)) return
    await mkdir(join(this.#folder, path), { recursive: true, mode: 0o755 })
    for (let made = path; !this.#made.has(made); made = made.slice(0, Math.max(0, made.lastIndexOf("/")))) {
      this.#made.add(made)
    }
  }

  async #reserve(size: number): Promise<void> {
    if (size > this.#allowance) {
      const { bavail, bsize } = await statfs(this.#folder)
      const free = bavail * bsize - this.#limits.freeDisk
      if (size > free) {
        throw new Refusal(
          "disk",
          `would leave less than ${this.#limits.freeDisk} bytes of the disk free; make room on it`,
        )
      }
      this.#allowance = Math.min(free, Math.max(size, DISK_INTERVAL))
    }
    this.#allowance -= size
  }
}

const TYPES: { readonly [type: string]: string } = {
  link: "is a hard link; put the file itself into the archive",
  symlink: "is a symbolic link; put the file itself into the archive",
  "block-device": "is a device; leave it out",
  "character-device": "is a device; leave it out",
  fifo: "is a pipe; leave it out",
}

/** Of other types, which the parser may not even know: parts of a sparse file, for example. */
const UNFIT = "is neither a file nor a folder; leave it out, or pack it as a plain file"

/** The path of a file or a folder; anything else is refused. */
const pathOf = ({ name, pax, size, type }: TarHeader): string => {
  const path = entryPath(name)
  if (path._tag === "Failure") throw new Refusal("path", path.failure, name)
  if (type !== "file" && type !== "directory") {
    const what = TYPES[type] ?? UNFIT
    throw new Refusal("type", what, name)
  }
  if (Object.keys(pax ?? {}).some((key) => key.startsWith("GNU.sparse."))) {
    throw new Refusal("type", "is a sparse file; pack it without --sparse", name)
  }
  if (type === "file" && (path.success === "" || name.endsWith("/"))) {
    throw new Refusal("type", "is a file with the name of a folder", name)
  }
  if (type === "directory" && size > 0) throw new Refusal("type", "is a folder with content of its own", name)
  return path.success
}

const writeEntry = async (file: string, path: string, entry: Entry): Promise<BundleFile> => {
  const mode = modeOf(entry.header.mode)
  const hash = createHash("sha256")
  let size = 0
  // Never through a link, nor into what is there already.
  const handle = await open(file, "wx", 0o600)
  try {
    for await (const chunk of entry) {
      hash.update(chunk)
      size += chunk.length
      await handle.writeFile(chunk)
    }
    await handle.chmod(Number.parseInt(mode, 8))
  } finally {
    await handle.close()
  }
  return { path, sha256: hash.digest("hex"), size, mode }
}

/** Where the plugin is: at the root, or in the only folder, when there is nothing else. */
const topFolder = (files: ReadonlyArray<BundleFile>, folders: ReadonlyArray<string>): string => {
  if (files.some(({ path }) => isManifest(path))) return ""
  const tops = new Set([...files.map(({ path }) => path), ...folders].map((path) => path.split("/", 1)[0]!))
  tops.delete("")
  const [top = "", other] = tops
  return other === undefined && folders.includes(top) ? top : ""
}
