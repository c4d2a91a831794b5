import { cpSync } from "node:fs"

/** Copies a plugin without an environment of its own, which may have an older SDK. */
export const copyPlugin = (source: string, target: string): void =>
  cpSync(source, target, { recursive: true, filter: (path) => !path.endsWith(".venv") })
