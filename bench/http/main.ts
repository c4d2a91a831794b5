/** `npm run bench -- http`: what plugins' HTTP costs. */
import { loadavg } from "node:os"
import { Effect } from "effect"
import { compare, type Row, report } from "../measure.ts"
import { peak, resident } from "../memory.ts"
import { type Asked, load } from "./client.ts"
import { httpServers } from "./servers.ts"

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

const measured = Effect.gen(function* () {
  const { asgi, hostPid, plugin, wsgi } = yield* httpServers
  const small = (asked: Asked) => load(asked, SMALL_REQUESTS, CONNECTIONS)
  const echo = (asked: Asked) => load({ ...asked, upload: ECHO.size }, ECHO.count, CONNECTIONS)
  const up = (asked: Asked, upload = LARGE) => load({ ...asked, upload }, 1, 1)
  const down = ({ path, port }: Asked, bytes = LARGE) => load({ port, path: `${path}?bytes=${bytes}` }, 1, 1)
  const both = 2 * ECHO.size * ECHO.count
  const rows = [
    yield* compare(
      "ASGI, small GET (proxy to uvicorn)",
      small(plugin("asgi-app", "/small")),
      small(asgi("/small")),
      perSecond(SMALL_REQUESTS),
      WARM_UPS,
    ),
    yield* compare(
      "WSGI, small GET (proxy to gunicorn)",
      small(plugin("wsgi-app", "/small")),
      small(wsgi("/small")),
      perSecond(SMALL_REQUESTS),
      WARM_UPS,
    ),
    yield* compare(
      "sync handler, small GET (proxy to uvicorn)",
      small(plugin("handler", "/small")),
      small(asgi("/small")),
      perSecond(SMALL_REQUESTS),
      WARM_UPS,
    ),
    yield* compare(
      "async handler, small GET (proxy to uvicorn)",
      small(plugin("handler-async", "/small")),
      small(asgi("/small")),
      perSecond(SMALL_REQUESTS),
      WARM_UPS,
    ),
    yield* compare("64 KiB echo", echo(plugin("asgi-app", "/echo")), echo(asgi("/echo")), throughput(both)),
    yield* compare("256 MiB up", up(plugin("asgi-app", "/up")), up(asgi("/up")), throughput(LARGE)),
    yield* compare("256 MiB down", down(plugin("asgi-app", "/down")), down(asgi("/down")), throughput(LARGE)),
  ]
  const before = resident(hostPid)
  peak(hostPid)
  yield* up(plugin("asgi-app", "/up"), HUGE)
  yield* down(plugin("asgi-app", "/down"), HUGE)
  const growth = peak(hostPid) - before
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
