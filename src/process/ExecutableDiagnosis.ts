import { constants } from "node:fs"
import { stat, open } from "node:fs/promises"
import { Effect } from "effect"

/** Machines by their number in an ELF header (System V ABI, `e_machine`), named as Node names them. */
const ELF: { readonly [machine: number]: string } = {
  3: "ia32",
  40: "arm",
  62: "x64",
  183: "arm64",
  21: "ppc64",
  22: "s390x",
  243: "riscv64",
  258: "loong64",
}
/** Machines by their number in a PE header (PE format, "Machine Types"). */
const PE: { readonly [machine: number]: string } = { 0x14c: "ia32", 0x8664: "x64", 0xaa64: "arm64", 0x1c4: "arm" }
/** Machines by their number in a Mach-O header (`cputype`). */
const MACH_O: { readonly [machine: number]: string } = { 0x01000007: "x64", 0x0100000c: "arm64", 7: "ia32", 12: "arm" }

/** Enough for the headers, and for a script's first line. */
const HEADER_LENGTH = 4096

/** What can be told about an executable that did not start. */
export interface Diagnosis {
  /** For whoever has to mend it: where it is, who may run it, which machine it was built for. */
  readonly notes: ReadonlyArray<string>
  /** Whether it was built for another machine than this. */
  readonly isForeign: boolean
}

interface Format {
  readonly name: string
  /** Node's name of the only platform that runs it, if there is one. */
  readonly platform?: NodeJS.Platform
  /** The machine it was built for, as Node names it, if it was built for one. */
  readonly machine?: string
}

/** What kind of executable a file is, from its first bytes. */
const formatOf = (header: Buffer): Format => {
  const machine = (machines: { readonly [machine: number]: string }, number: number) =>
    machines[number] ?? `machine ${number}`
  if (header.length >= 20 && header.readUInt32BE(0) === 0x7f454c46) {
    // The sixth byte says which end comes first.
    const number = header[5] === 2 ? header.readUInt16BE(18) : header.readUInt16LE(18)
    return { name: "an ELF file", machine: machine(ELF, number) }
  }
  if (header.length >= 8 && [0xfeedface, 0xfeedfacf].includes(header.readUInt32LE(0))) {
    return { name: "a Mach-O file", platform: "darwin", machine: machine(MACH_O, header.readUInt32LE(4)) }
  }
  if (header.length >= 8 && header.readUInt32BE(0) === 0xcafebabe) {
    return { name: "a universal Mach-O file", platform: "darwin" }
  }
  if (header.length >= 64 && header.toString("latin1", 0, 2) === "MZ") {
    const offset = header.readUInt32LE(60)
    if (offset + 6 <= header.length && header.toString("latin1", offset, offset + 4) === "PE\0\0") {
      return { name: "a PE file", platform: "win32", machine: machine(PE, header.readUInt16LE(offset + 4)) }
    }
  }
  if (header.toString("latin1", 0, 2) === "#!") return { name: `a script that starts ${firstLine(header)}` }
  return { name: header.length === 0 ? "an empty file" : "of no executable format known here" }
}

const firstLine = (header: Buffer): string => JSON.stringify(header.toString("utf8").split("\n", 1)[0]!.slice(0, 200))

/** A file's first bytes. Whatever is no regular file is not read: a pipe has nothing to give, and would wait for it. */
export const readHeader = async (path: string): Promise<Buffer> => {
  if (!(await stat(path)).isFile()) throw new Error("it is no regular file")
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_LENGTH), 0, HEADER_LENGTH, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

/** Looks at an executable that did not start (as go-plugin 1.8 does, `additionalNotesAboutCommand`). */
export const diagnose = (executable: string): Effect.Effect<Diagnosis> =>
  Effect.promise(async () => {
    const notes = [`path: ${executable}`]
    try {
      const info = await stat(executable)
      const who = (id: number, own: number | undefined) => `${id}${own === undefined ? "" : ` (this host: ${own})`}`
      const mode = `0${(info.mode & 0o7777).toString(8)}`
      const [owner, group] = [who(info.uid, process.getuid?.()), who(info.gid, process.getgid?.())]
      notes.push(`mode: ${mode}, owner: ${owner}, group: ${group}`)
      const { machine, name, platform } = formatOf(await readHeader(executable))
      const built = machine === undefined ? "" : ` for ${machine} (this machine is ${process.arch})`
      const isForeign =
        (machine !== undefined && machine !== process.arch) || (platform !== undefined && platform !== process.platform)
      return { notes: [...notes, `format: ${name}${built}`], isForeign }
    } catch (error) {
      return { notes: [...notes, (error as Error).message], isForeign: false }
    }
  })
