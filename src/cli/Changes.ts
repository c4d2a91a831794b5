import { Duration, Effect } from "effect"
import { walk } from "../bundle/BundleFiles.ts"
import { isLeftOut } from "../bundle/BundleFolder.ts"

/**
 * How often it is looked whether something has changed, and how long nothing may: editors and tools write several files, or one
 * in several steps. Looking works on every file system; events of changes do not come from shared folders of containers, say.
 */
const INTERVAL = Duration.millis(300)

/** What a plugin's folder is like: its files, but for those that no bundle has (`.venv`, `.git`). */
export const lookAt = (root: string): Effect.Effect<string> =>
  Effect.promise(async () => {
    const seen: Array<string> = []
    try {
      for await (const { changed, kind, mode, path, size } of walk(root, (path, kind) => isLeftOut(root, path, kind))) {
        // A folder changes by what is in it.
        if (kind === "file") seen.push(`${path}\0${changed}\0${size}\0${mode}`)
      }
    } catch {
      // Something went while it was read; it is looked at again.
    }
    return seen.join("\n")
  })

/** Waits until a folder is not like `before` any more, and no more changes come; `look` looks at it. */
export const untilChanged = Effect.fnUntraced(function* (before: string, look: Effect.Effect<string>) {
  let last = before
  while (true) {
    yield* Effect.sleep(INTERVAL)
    const now = yield* look
    if (now === last && now !== before) return
    last = now
  }
})
