import { createHash } from "node:crypto"
import { constants } from "node:fs"
import { lstat, mkdir, open } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { type BundleFile, type Found, inOrder, INSTALLED_LIST, modeOf, SMALL, walk } from "./BundleFiles.ts"
import type { BundleLimitsValues } from "./BundleLimits.ts"
import { Refusal } from "./BundleRefusedError.ts"
import { checkRoot } from "./BundleRoot.ts"
import { entryPath, EntryPaths } from "./EntryName.ts"

/** A file that a folder's bundle has, before its content was read. */
export type SourceFile = Omit<BundleFile, "sha256">

/** Names that no bundle has, wherever they are: what tools of an author keep for themselves, and settings with secrets. */
const LEFT_OUT = new Set([
  ".DS_Store",
  ".env",
  ".git",
  ".hg",
  ".idea",
  ".mypy_cache",
  ".nox",
  ".pytest_cache",
  ".ruff_cache",
  ".svn",
  ".tox",
  ".venv",
  ".vscode",
  "__pycache__",
  "node_modules",
])

/**
 * Whether a file or a folder stays behind. Virtual environments do, whatever they are called: they lead to the machine
 * that they were made on. Tests stay in: nothing tells them from what the plugin needs.
 */
export const isLeftOut = async (root: string, path: string, kind: Found["kind"]): Promise<boolean> => {
  const name = basename(path)
  if (LEFT_OUT.has(name) || name.startsWith("._") || name.endsWith(".pyc")) return true
  // What an installed bundle has of its store, and bundles that were packed before.
  if (path === INSTALLED_LIST) return true
  if (kind === "file") return !path.includes("/") && /\.(?:tar\.gz|tgz)$/i.test(path)
  return kind === "folder" && (await exists(join(root, path, "pyvenv.cfg")))
}

const exists = (file: string): Promise<boolean> =>
  lstat(file).then(
    () => true,
    () => false,
  )

/** The files that a bundle has when it is made of a folder, by the rules for archives. */
export const listFolder = async (root: string, limits: BundleLimitsValues): Promise<ReadonlyArray<SourceFile>> => {
  const paths = new EntryPaths()
  const files: Array<SourceFile> = []
  let entries = 0
  let bytes = 0
  for await (const { kind, mode, path, size } of walk(root, (path, kind) => isLeftOut(root, path, kind))) {
    if (kind === "other") {
      throw new Refusal("type", "is a link, a device or a pipe; put the file itself into the folder", path)
    }
    const checked = entryPath(path)
    if (checked._tag === "Failure") throw new Refusal("path", checked.failure, path)
    const problem = paths.add(path, kind === "folder")
    if (problem !== undefined) throw new Refusal("same", problem, path)
    if (++entries > limits.entries) throw new Refusal("limit", `has more than ${limits.entries} files and folders`)
    if (kind === "folder") continue
    bytes += size
    if (size > limits.file) throw new Refusal("limit", `has more than ${limits.file} bytes`, path)
    if (bytes > limits.unpacked) throw new Refusal("limit", `has more than ${limits.unpacked} bytes`)
    files.push({ path, size, mode: modeOf(mode) })
  }
  checkRoot(files)
  return inOrder(files)
}

/**
 * Reads a file of a folder, and hands on what it has. It must not have become a link, or of another size, since it was
 * listed.
 */
export const readSource = async (
  root: string,
  { mode, path, size }: SourceFile,
  take: (chunk: Buffer) => Promise<unknown>,
  signal: AbortSignal,
): Promise<BundleFile> => {
  const hash = createHash("sha256")
  let read = 0
  const handle = await open(join(root, path), constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const chunks: AsyncIterable<Buffer> | ReadonlyArray<Buffer> =
      size <= SMALL ? [await handle.readFile()] : handle.createReadStream({ autoClose: false, signal })
    for await (const chunk of chunks) {
      read += chunk.length
      if (read > size) break
      hash.update(chunk)
      await take(chunk)
    }
  } finally {
    await handle.close()
  }
  if (read !== size) throw new Refusal("source", "has changed while it was read; try again", path)
  return { path, sha256: hash.digest("hex"), size, mode }
}

/** Copies the bundle in a folder into another, which is empty. */
export const copyFolder = async (
  root: string,
  target: string,
  limits: BundleLimitsValues,
  signal: AbortSignal,
): Promise<ReadonlyArray<BundleFile>> => {
  const copied: Array<BundleFile> = []
  for (const source of await listFolder(root, limits)) {
    const file = join(target, source.path)
    await mkdir(dirname(file), { recursive: true, mode: 0o755 })
    const handle = await open(file, "wx", 0o600)
    try {
      copied.push(await readSource(root, source, (chunk) => handle.writeFile(chunk), signal))
      await handle.chmod(Number.parseInt(source.mode, 8))
    } finally {
      await handle.close()
    }
  }
  return copied
}

/** The files that a folder's bundle has, with their hashes. */
export const hashFolder = async (
  root: string,
  limits: BundleLimitsValues,
  signal: AbortSignal,
): Promise<ReadonlyArray<BundleFile>> => {
  const files: Array<BundleFile> = []
  for (const file of await listFolder(root, limits)) files.push(await readSource(root, file, async () => {}, signal))
  return files
}
