/**
 * The same applications behind the supervisor, and behind a plain proxy of Node's on servers of the field: uvicorn, and
 * gunicorn with threads. Each is a process of its own.
 */
import { spawn } from "node:child_process"
import { dirname, join } from "node:path"
import { Effect, type Scope } from "effect"
import { ensureVenv, root } from "../../scripts/python.ts"
import { temporaryFolder } from "../folder.ts"
import type { Asked } from "./client.ts"

/** Starts a program that ends with the Scope, once it prints where it listens. */
const started = (
  command: string,
  args: ReadonlyArray<string>,
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly pid: number; readonly port: number; readonly end: () => void }, Error>((resume) => {
      const child = spawn(command, args, { env: process.env, ...options, stdio: ["ignore", "pipe", "pipe"] })
      let output = ""
      const look = (chunk: Buffer) => {
        output += String(chunk)
        const port = /(?:listens on|running on|Listening at:) (?:http:\/\/)?(?:127\.0\.0\.1:)?(\d+)/.exec(output)?.[1]
        if (port !== undefined) resume(Effect.succeed({ pid: child.pid!, port: Number(port), end: () => child.kill() }))
      }
      child.stdout.on("data", look)
      child.stderr.on("data", look)
      child.on("exit", (code) => resume(Effect.fail(new Error(`${command} ended with ${code}: ${output}`))))
    }),
    ({ end }) => Effect.sync(end),
  )

/** Waits until something is served. */
const isServed = (asked: Asked) =>
  Effect.promise(async () => {
    for (let tries = 0; tries < 300; tries++) {
      const response = await fetch(`http://127.0.0.1:${asked.port}${asked.path}`).catch(() => undefined)
      if (response?.status === 200) return
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    throw new Error(`nobody serves ${asked.path}`)
  })

/** Where to ask. */
export interface HttpServers {
  /** A plugin behind the supervisor. */
  readonly plugin: (id: string, path: string) => Asked
  /** The same application behind the proxy. */
  readonly asgi: (path: string) => Asked
  readonly wsgi: (path: string) => Asked
  /** The supervisor's process. */
  readonly hostPid: number
}

/** Starts all; they end with the Scope. */
export const httpServers: Effect.Effect<HttpServers, Error, Scope.Scope> = Effect.gen(function* () {
  const bin = dirname(
    ensureVenv("python-sdk/.venv-bench", "-e ./python-sdk starlette gunicorn", "python3", [
      "python-sdk/{pyproject.toml,setup.py}",
    ]),
  )
  const data = yield* temporaryFolder
  const main = ["src/main.ts", "serve", "--port", "0", "--plugins", "bench/http", "--data", data]
  const host = yield* started(process.execPath, main, {
    cwd: root,
    env: { ...process.env, PATH: `${bin}:${process.env["PATH"]}` },
  })
  const serverOf = (name: string, ...args: ReadonlyArray<string>) =>
    started(join(bin, name), [...args, "application:app"], {
      cwd: join(root, "bench/http", `${name === "uvicorn" ? "asgi" : "wsgi"}-app`),
    })
  const uvicorn = yield* serverOf("uvicorn", "--port", "0", "--no-access-log")
  const gunicorn = yield* serverOf(
    "gunicorn",
    "--bind",
    "127.0.0.1:0",
    "--worker-class",
    "gthread",
    "--threads",
    "16",
    "--keep-alive",
    "60",
  )
  const proxyTo = ({ port }: { readonly port: number }) =>
    started(process.execPath, [join(root, "bench/http/proxy.ts"), String(port)])
  const [asgi, wsgi] = [yield* proxyTo(uvicorn), yield* proxyTo(gunicorn)]
  const plugin = (id: string, path: string) => ({ port: host.port, path: `/plugins/${id}${path}` })
  yield* Effect.forEach(["asgi-app", "wsgi-app", "handler", "handler-async"], (id) => isServed(plugin(id, "/small")))
  return {
    plugin,
    asgi: (path) => ({ port: asgi.port, path }),
    wsgi: (path) => ({ port: wsgi.port, path }),
    hostPid: host.pid,
  }
})
