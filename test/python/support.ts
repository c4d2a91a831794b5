/** Environments for tests: made by real tools, of packages on the disk. */
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs"
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import { dirname, join } from "node:path"
import { execFileSync } from "node:child_process"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer } from "effect"
import { inject } from "vitest"
import type { Manifest } from "../../src/bundle/Manifest.ts"
import type { PluginBundle } from "../../src/bundle/PluginBundle.ts"
import { HostEnvironment } from "../../src/command/HostEnvironment.ts"
import { PythonEnvironment } from "../../src/command/PythonEnvironment.ts"
import { currentPlatform } from "../../src/command/PluginRuntime.ts"
import * as PythonEnvironments from "../../src/python/PythonEnvironments.ts"
import { folder, type Node, temporaryFolder } from "../support/folder.ts"
import { isAlive } from "../support/host.ts"
import { makePackages, type Package } from "../support/wheels.ts"

const uv = inject("uv")
/** The Python of the machine, which has no SDK. */
export const python = "python" in uv ? uv.python : ""
export const uvExecutable = "executable" in uv ? uv.executable : ""

/** The SDK as far as these tests need one. */
export const SDK: Package = { name: "effect-plugin-supervisor-sdk", files: { "mattermost_plugin.py": "" } }

export interface Machine {
  /** The folder of the environments. */
  readonly directory: string
  /** Folder of the packages that can be installed. */
  readonly packages: string
  /** A folder that holds python3, and uv where the machine has it. */
  readonly bin: string
}

/** A machine with a Python, with packages to install, and with nothing on the network. */
export const machine = Effect.fnUntraced(function* (
  packages: ReadonlyArray<Package> = [],
  tools: ReadonlyArray<"uv"> = ["uv"],
) {
  const root = yield* temporaryFolder
  // Environments can't be removed as they are, unless by root.
  yield* Effect.addFinalizer(() => Effect.sync(() => execFileSync("chmod", ["-R", "u+w", root])))
  const bin = yield* folder({
    python3: { executable: `#!/bin/sh\nexec ${python} "$@"\n` },
    ...(tools.includes("uv") ? { uv: { link: uvExecutable } } : {}),
  })
  makePackages(join(root, "packages"), [SDK, ...packages])
  return { directory: join(root, "environments"), packages: join(root, "packages"), bin } satisfies Machine
})

/** The service on a machine, as it is after a start of the host. */
export const environments = (
  { bin, directory, packages }: Machine,
  options: Partial<PythonEnvironments.PythonEnvironmentsOptions> = {},
  variables: { readonly [name: string]: string } = {},
) =>
  PythonEnvironments.layer({
    directory,
    findLinks: [packages],
    offline: true,
    // Not the host's own, for which there is nothing that it needs.
    sdk: { requirement: SDK.name },
    ...options,
  }).pipe(
    Layer.provide(
      Layer.succeed(HostEnvironment, {
        platform: currentPlatform,
        variables: { PATH: `${bin}:/usr/bin:/bin`, HOME: "/nonexistent", ...variables },
      }),
    ),
    Layer.provide(NodeServices.layer),
  )

/** A bundle with these files, beside its program. */
export const bundleOf = (files: { readonly [path: string]: Node }, id = "my-plugin") =>
  Effect.map(folder({ "plugin.py": "", ...files }), (directory): PluginBundle => ({
    directory,
    manifest: { id, name: id, server: { executable: "plugin.py" } } as Manifest,
  }))

/** The interpreter of a bundle, on a machine whose host has just been started. */
export const interpreterOf = (bundle: PluginBundle, ...on: Parameters<typeof environments>) =>
  Effect.scoped(
    Effect.provide(
      Effect.flatMap(PythonEnvironment, ({ interpreter }) => interpreter(bundle)),
      environments(...on),
    ),
  )

/** What a program prints. */
export const evaluate = (interpreter: string, program: string): string =>
  execFileSync(interpreter, ["-I", "-c", program], { encoding: "utf8" }).trim()

/** The environments' folders that there are, finished or not. */
export const foldersOf = ({ directory }: Machine): ReadonlyArray<string> =>
  readdirSync(directory).filter((name) => !name.startsWith("."))

/** Every file of a folder, with its content. */
export const contentOf = (directory: string): { readonly [path: string]: string } =>
  Object.fromEntries(
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => [file, readFileSync(file, "latin1")]),
  )

/** A folder of the bundle's wheels. */
export const vendor = (bundle: PluginBundle, packages: ReadonlyArray<Package>): void => {
  mkdirSync(join(bundle.directory, "wheels"), { recursive: true })
  makePackages(join(bundle.directory, "wheels"), packages)
}

/** The arguments of the processes that have a text among them, by their ids; of none where there is no /proc. */
export const processesWith = (text: string): ReadonlyMap<number, string> =>
  new Map(
    (existsSync("/proc") ? readdirSync("/proc") : [])
      .map(Number)
      .filter((pid) => pid > 0 && pid !== process.pid && isAlive(pid))
      .map((pid): readonly [number, string] => {
        try {
          return [pid, readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")]
        } catch {
          return [pid, ""]
        }
      })
      .filter(([, line]) => line.includes(text)),
  )

/** A server, by a URL with a user and a password. */
const serverOf = (listener: RequestListener) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly close: () => void }>((resume) => {
      const server = createServer(listener)
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        const close = () => {
          server.closeAllConnections()
          server.close()
        }
        resume(Effect.succeed({ url: `http://me:sesame@127.0.0.1:${port}/simple`, close }))
      })
    }),
    ({ close }) => Effect.sync(close),
  )

/** A package index: which paths were asked for, and no answer ever. */
export const silentIndex = Effect.suspend(() => {
  const asked: Array<string> = []
  return Effect.map(
    serverOf((request) => void asked.push(request.url ?? "")),
    (server) => ({ ...server, asked }),
  )
})

/**
 * A package index of a folder's packages, for whoever knows its password; and the arguments that its clients had when they
 * asked.
 */
export const packageIndex = (folder: string) => {
  const authorizations = new Set<string | undefined>()
  const seen: Array<string> = []
  const listener: RequestListener = ({ headers, url = "" }, response) => {
    authorizations.add(headers.authorization)
    seen.push(...processesWith(dirname(folder)).values())
    const [, , project = "", file] = url.split("/")
    const names = readdirSync(folder).filter((name) => name.split("-")[0]!.replaceAll("_", "-") === project)
    if (headers.authorization === undefined) response.writeHead(401, { "WWW-Authenticate": "Basic" }).end()
    else if (file) response.end(readFileSync(join(folder, file)))
    else if (names.length === 0) response.writeHead(404).end()
    else {
      response.setHeader("Content-Type", "text/html")
      response.end(
        `<!DOCTYPE html><html><body>${names.map((name) => `<a href="${name}">${name}</a>`).join("")}</body></html>`,
      )
    }
  }
  return Effect.map(serverOf(listener), (server) => ({ ...server, authorizations, seen }))
}
