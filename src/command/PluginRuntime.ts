import { Result, Schema } from "effect"
import type { Manifest } from "../bundle/Manifest.ts"

/** How a plugin is run: by a Python interpreter, or as an executable of its own. `executable` is a path in the bundle. */
export interface PluginRuntime {
  readonly kind: "python" | "native"
  readonly executable: string
}

/** The machine a plugin is to run on, in Node's words (`process.platform`, `process.arch`). */
export interface Platform {
  readonly platform: string
  readonly arch: string
}

/** This machine. */
export const currentPlatform: Platform = { platform: process.platform, arch: process.arch }

const GO_OS: { readonly [platform: string]: string } = { win32: "windows", sunos: "solaris" }
const GO_ARCH: { readonly [arch: string]: string } = { x64: "amd64", ia32: "386" }

/** A platform as manifests name it: Go's words, for example `linux-amd64`. */
export const platformKey = ({ arch, platform }: Platform): string =>
  `${GO_OS[platform] ?? platform}-${GO_ARCH[arch] ?? arch}`

/** The manifest names nothing to run on this platform. */
export class NoExecutableError extends Schema.TaggedError<NoExecutableError>()("NoExecutableError", {
  pluginId: Schema.String,
  platform: Schema.String,
  /** The platforms for which there is an executable. */
  available: Schema.Array(Schema.String),
}) {
  override get message(): string {
    const others = this.available.length === 0 ? "" : ` (there is one for ${this.available.join(", ")})`
    return `plugin ${this.pluginId} names no executable for ${this.platform}${others}; add server.executable, or server.executables["${this.platform}"], to its manifest`
  }
}

/**
 * Finds out how a plugin is run. It is Python when `server.runtime` or `props.runtime` says so or its executable ends in
 * `.py`; otherwise it is native. The executable is `server.executables[platform]`, then `server.executable`, then
 * `server.python.entry_point`.
 */
export const detectRuntime = (
  manifest: Manifest,
  platform: Platform = currentPlatform,
): Result.Result<PluginRuntime, NoExecutableError> => {
  const { props, server } = manifest
  const key = platformKey(platform)
  const executable = [server?.executables?.[key], server?.executable, server?.python?.entry_point].find(
    (path) => path !== undefined && path !== "",
  )
  if (executable === undefined) {
    const available = Object.keys(server?.executables ?? {})
    return Result.fail(new NoExecutableError({ pluginId: manifest.id, platform: key, available }))
  }
  const isPython = server?.runtime === "python" || props?.["runtime"] === "python" || executable.endsWith(".py")
  return Result.succeed({ kind: isPython ? "python" : "native", executable })
}
