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

/** What kind of executable a file is, from its first bytes. */
const describeHeader = (header: Buffer): string => {
  const known = (machines: { readonly [machine: number]: string }, machine: number) =>
    `${machines[machine] ?? `machine ${machine}`} (this machine is ${process.arch})`
  if (header.length >= 20 && header.readUInt32BE(0) === 0x7f454c46) {
    // The sixth byte says which end comes first.
    return `an ELF file for ${known(ELF, header[5] === 2 ? header.readUInt16BE(18) : header.readUInt16LE(18))}`
  }
  if (header.length >= 8 && [0xfeedface, 0xfeedfacf].includes(header.readUInt32LE(0))) {
    return `a Mach-O file for ${known(MACH_O, header.readUInt32LE(4))}`
  }
  if (header.length >= 8 && header.readUInt32BE(0) === 0xcafebabe) return "a universal Mach-O file"
  if (header.length >= 64 && header.toString("latin1", 0, 2) === "MZ") {
    const offset = header.readUInt32LE(60)
    if (offset + 6 <= header.length && header.toString("latin1", offset, offset + 4) === "PE\0\0") {
      return `a PE file for ${known(PE, header.readUInt16LE(offset + 4))}`
    }
  }
  if (header.toString("latin1", 0, 2) === "#!") return `a script that starts ${firstLine(header)}`
  return header.length === 0 ? "an empty file" : "of no executable format known here"
}

const firstLine = (header: Buffer): string => JSON.stringify(header.toString("utf8").split("\n", 1)[0]!.slice(0, 200))

/**
 * What can be told about an executable that did not start, for whoever has to mend it: where it is, who may run it, and
 * which machine it was built for (as go-plugin 1.8 does, `additionalNotesAboutCommand`).
 */
export const diagnose = (executable: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(async () => {
    const path = `path: ${executable}`
    try {
      const info = await stat(executable)
      const user = process.getuid?.()
      const who = (id: number, own: number | undefined) => `${id}${own === undefined ? "" : ` (this host: ${own})`}`
      const rights = [
        `mode: 0${(info.mode & 0o7777).toString(8)}`,
        `owner: ${who(info.uid, user)}`,
        `group: ${who(info.gid, process.getgid?.())}`,
      ].join(", ")
      const file = await open(executable)
      try {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_LENGTH), 0, HEADER_LENGTH, 0)
        return [path, rights, `format: ${describeHeader(buffer.subarray(0, bytesRead))}`]
      } catch (error) {
        return [path, rights, `format: unknown, ${(error as Error).message}`]
      } finally {
        await file.close()
      }
    } catch (error) {
      return [path, (error as Error).message]
    }
  })
