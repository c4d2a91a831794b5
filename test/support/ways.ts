/** The ways from the host to a plugin that a client's request can go; each of them has to do what is promised. */
import { cpSync, writeFileSync } from "node:fs"
import { join } from "node:path"

/** HTTP to the SDK's own web server, and the contract's `ServeHTTP` for all that has none. */
export const WAYS = ["HTTP", "gRPC"] as const
export type Way = (typeof WAYS)[number]

/** Copies a Python plugin. For gRPC, a file of its own hides what its web server is made of: the bundle's folder comes first. */
export const copyPlugin = (source: string, target: string, way: Way): void => {
  cpSync(source, target, { recursive: true })
  if (way === "gRPC") writeFileSync(join(target, "uvicorn.py"), "# No web server.\n")
}
