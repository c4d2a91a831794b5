/** What is measured of plugins' HTTP for the ratios. */
import { Effect, type Scope } from "effect"
import { type Asked, load } from "../http/client.ts"
import { httpServers } from "../http/servers.ts"
import type { Figure } from "./rounds.ts"

const SMALL_REQUESTS = 2000
const CONNECTIONS = 16
/** Rounds of small requests before any is measured: compilers get at all of it within some ten thousand. */
const WARM_UPS = 5
const STREAMED_MIB = 256

const small = (asked: Asked): Figure => ({
  unit: "/s",
  measure: rate(SMALL_REQUESTS, load(asked, SMALL_REQUESTS, CONNECTIONS)),
})

const streamed = ({ path, port }: Asked): Figure => ({
  unit: "MiB/s",
  measure: rate(STREAMED_MIB, load({ port, path: `${path}?bytes=${STREAMED_MIB * 1024 * 1024}` }, 1, 1)),
})

/** So many in a second. */
const rate = (count: number, all: Effect.Effect<void>) =>
  Effect.suspend(() => {
    const began = performance.now()
    return Effect.map(all, () => (count / (performance.now() - began)) * 1000)
  })

export const httpFigures: Effect.Effect<{ readonly [name: string]: Figure }, unknown, Scope.Scope> = Effect.gen(
  function* () {
    const { asgi, plugin, wsgi } = yield* httpServers
    const smalls = {
      asgiPlugin: small(plugin("asgi-app", "/small")),
      asgiProxy: small(asgi("/small")),
      wsgiPlugin: small(plugin("wsgi-app", "/small")),
      wsgiProxy: small(wsgi("/small")),
    }
    for (const { measure } of Object.values(smalls)) yield* Effect.repeat(measure, { times: WARM_UPS - 1 })
    return { ...smalls, streamPlugin: streamed(plugin("asgi-app", "/down")), streamProxy: streamed(asgi("/down")) }
  },
)
