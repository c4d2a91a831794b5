/** The supervisor as its operator starts it, with native plugins that are quick to start. */
import { existsSync, readdirSync } from "node:fs"
import { join, resolve } from "node:path"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { folder } from "../support/folder.ts"
import { eventually } from "../support/host.ts"
import { program } from "../support/program.ts"
import type { Failure } from "../../src/supervisor/PluginLife.ts"
import { type Bundle, nobodyHas, peer, under } from "./support.ts"

const main = resolve(import.meta.dirname, "../../src/main.ts")
const TOKEN = "token-of-the-test"

export interface Serving {
  /** What becomes the supervisor, in front of its command line. */
  readonly prefix?: (root: string) => ReadonlyArray<string>
  /** Further flags. */
  readonly flags?: ReadonlyArray<string>
  readonly plugins?: { readonly [id: string]: Bundle }
  readonly env?: (root: string) => { readonly [name: string]: string | undefined }
  /** Default: a folder of its own. */
  readonly data?: string
  /** Whether the plugins are waited for. Default true. */
  readonly isAwaited?: boolean
}

/** What a supervisor answers. */
export interface Answer {
  readonly status: number
  readonly text: string
}

/** A supervisor that listens. When the Scope closes it is asked to end, and nothing may be left then. */
export const serving = Effect.fnUntraced(function* (settings: Serving = {}) {
  const { env, flags = [], isAwaited = true, plugins = { well: peer("well", { id: "well" }) }, prefix } = settings
  const bundles = Object.entries(plugins).flatMap(([id, files]) => Object.entries(under(`plugins/${id}`, files)))
  const root = yield* folder({
    ...Object.fromEntries(bundles),
    data: { folder: true },
    plugins: { folder: true },
    run: { folder: true },
  })
  yield* Effect.addFinalizer(() => Effect.orDie(nobodyHas(root)))
  const folders = ["--plugins", join(root, "plugins"), "--data", settings.data ?? join(root, "data")]
  const line = [...(prefix?.(root) ?? []), process.execPath, main, "serve", "--port", "0", ...folders, ...flags]
  const { child, log, output } = yield* program(line[0]!, line.slice(1), {
    env: {
      ...process.env,
      PLUGIN_SUPERVISOR_TOKEN: TOKEN,
      RUNTIME_DIRECTORY: join(root, "run"),
      ...env?.(root),
    },
  })
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null
  yield* eventually("it listens", () => hasEnded() || output().includes(isAwaited ? "Try:" : "Its token"))
  const base = /listens on (\S+)/.exec(output())?.[1] ?? ""
  const ask = (path: string, init: RequestInit = {}) =>
    Effect.tryPromise(async (signal): Promise<Answer> => {
      const headers = { Authorization: `Bearer ${TOKEN}`, Connection: "close" }
      const response = await fetch(base + path, { ...init, headers, signal })
      return { status: response.status, text: await response.text() }
    }).pipe(Effect.timeout("60 seconds"))
  return {
    root,
    port: Number(/:(\d+)$/.exec(base)?.[1]),
    child,
    log,
    output,
    ask,
    post: (message: string) => {
      const channel = /"channel_id":"(\w+)"/.exec(output())?.[1]
      return ask("/api/v4/posts", { method: "POST", body: JSON.stringify({ channel_id: channel, message }) })
    },
    /** A plugin's state and, where it failed, why. */
    state: (id: string) =>
      Effect.map(ask("/api/v4/plugins/statuses"), ({ text }) => {
        const found = (JSON.parse(text) as ReadonlyArray<any>).find(({ plugin_id }) => plugin_id === id)
        return {
          name: String(found?.state_name),
          error: String(found?.error),
          restarts: Number(found?.restarts),
          lastFailure: found?.last_failure as Failure | null,
        }
      }),
    /** It answers, and so does its plugin. */
    isWell: Effect.suspend(() => ask("/plugins/well/")).pipe(
      Effect.map((answer) => assert.deepStrictEqual(answer, { status: 200, text: "well" }, log())),
    ),
    /** Waits for its end; answers its exit code. */
    ended: Effect.map(eventually("it has ended", hasEnded), () => child.exitCode),
    /** How many descriptors it has. */
    descriptors: () => readdirSync(`/proc/${child.pid}/fd`).length,
    /** What is left in the folder of the sockets. */
    sockets: () => (existsSync(join(root, "run")) ? readdirSync(join(root, "run")) : []),
  }
})
