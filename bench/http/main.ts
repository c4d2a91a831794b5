/**
 * What plugins' HTTP costs: the same applications behind the supervisor, and behind a plain proxy of Node's on servers of
 * the field: uvicorn, and gunicorn with threads. Everything but the client is a process of its own.
 */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { loadavg, tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { Effect } from "effect"
import { ensureVenv, root } from "../../scripts/python.ts"
import { compare, type Row, report } from "../measure.ts"
import { peak, resident } from "../memory.ts"
import { type Asked, load } from "./client.ts"

const MIB = 1024 * 1024
const CONNECTIONS = 16
const SMALL_REQUESTS = 3000
/** Rounds of small requests before they are measured: compilers get at all of it within some ten thousand. */
const WARM_UPS = 8
const ECHO = { size: 65_536, count: 1000 }
const LARGE = 256 * MIB
const HUGE = 1024 * MIB

const perSecond = (count: number) => (millis: number) => `${Math.round((count / millis) * 1000)}/s`
const throughput = (bytes: number) => (millis: number) => `${(bytes / MIB / (millis / 1000)).toFixed(0)} MiB/s`

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

const measured = Effect.gen(function* () {
  const bin = dirname(
    ensureVenv("python-sdk/.venv-bench", "-e ./python-sdk starlette gunicorn", "python3", [
      "python-sdk/{pyproject.toml,setup.py}",
    ]),
  )
  const data = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "bench-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true })),
  )
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
  yield* Effect.forEach(["asgi-app", "wsgi-app", "handler"], (id) => isServed(plugin(id, "/small")))

  const small = (asked: Asked) => load(asked, SMALL_REQUESTS, CONNECTIONS)
  const bare = (path: string) => ({ port: asgi.port, path })
  const echo = (asked: Asked) => load({ ...asked, upload: ECHO.size }, ECHO.count, CONNECTIONS)
  const up = (asked: Asked, upload = LARGE) => load({ ...asked, upload }, 1, 1)
  const down = ({ path, port }: Asked, bytes = LARGE) => load({ port, path: `${path}?bytes=${bytes}` }, 1, 1)
  const both = 2 * ECHO.size * ECHO.count
  const rows = [
    yield* compare(
      "ASGI, small GET (proxy to uvicorn)",
      small(plugin("asgi-app", "/small")),
      small(bare("/small")),
      perSecond(SMALL_REQUESTS),
      WARM_UPS,
    ),
    yield* compare(
      "WSGI, small GET (proxy to gunicorn)",
      small(plugin("wsgi-app", "/small")),
      small({ port: wsgi.port, path: "/small" }),
      perSecond(SMALL_REQUESTS),
      WARM_UPS,
    ),
    yield* compare(
      "sync handler, small GET (proxy to uvicorn)",
      small(plugin("handler", "/small")),
      small(bare("/small")),
      perSecond(SMALL_REQUESTS),
      WARM_UPS,
    ),
    yield* compare("64 KiB echo", echo(plugin("asgi-app", "/echo")), echo(bare("/echo")), throughput(both)),
    yield* compare("256 MiB up", up(plugin("asgi-app", "/up")), up(bare("/up")), throughput(LARGE)),
    yield* compare("256 MiB down", down(plugin("asgi-app", "/down")), down(bare("/down")), throughput(LARGE)),
  ]
  const before = resident(host.pid)
  peak(host.pid)
  yield* up(plugin("asgi-app", "/up"), HUGE)
  yield* down(plugin("asgi-app", "/down"), HUGE)
  const growth = peak(host.pid) - before
  return { rows, growth }
}).pipe(Effect.scoped, Effect.orDie)

/** Speed in place of time: how many times as fast ours is. */
const speed = (row: Row): Row => ({ ...row, ratio: 1 / row.ratio })

/** The report on HTTP. */
export const httpReport: Effect.Effect<string> = Effect.map(
  measured,
  ({ growth, rows }) =>
    `${report(rows.map(speed), "plain proxy", "speed")}\n` +
    `The host's memory grew by at most ${(growth / MIB).toFixed(1)} MiB over 1 GiB up and 1 GiB down. ` +
    `Load: ${loadavg()
      .map((load) => load.toFixed(1))
      .join(", ")}`,
)
