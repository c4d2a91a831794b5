/** Folders on disk for tests: a table of paths to contents. */
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { Effect } from "effect"
import { afterAll, beforeAll, vi } from "vitest"

/** A folder that goes with the test. */
export const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "test-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true })),
)

/** A file's content; or that it can be executed; or where it links to; or a folder. */
export type Node = string | { readonly executable: string } | { readonly link: string } | { readonly folder: true }

/** Makes a folder with these files, which goes with the Scope; answers its real path. */
export const folder = (files: { readonly [path: string]: Node }) =>
  Effect.map(temporaryFolder, (made) => {
    const root = realpathSync(made)
    for (const [path, node] of Object.entries(files)) {
      const target = join(root, path)
      mkdirSync(dirname(target), { recursive: true })
      if (typeof node === "string") writeFileSync(target, node)
      else if ("link" in node) symlinkSync(node.link, target)
      else if ("folder" in node) mkdirSync(target, { recursive: true })
      else {
        writeFileSync(target, node.executable)
        chmodSync(target, 0o755)
      }
    }
    return root
  })

/** A temporary folder of a test file's own, for tests that count what is in it: other files run at the same time. */
export const ownTemporaryFolder = (): void => {
  const folder = mkdtempSync(join(tmpdir(), "own-"))
  beforeAll(() => void vi.stubEnv("TMPDIR", folder))
  afterAll(() => {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true, force: true })
  })
}
