/** Requests at random, most of them broken, from clients that go whenever they like: nobody but they are harmed. */
import { randomInt } from "node:crypto"
import { describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { noPython } from "../support/host.ts"
import { rounds } from "../support/soak.ts"
import { connected, isUnharmed, PLUGIN, supervisor } from "../support/supervisor.ts"
import { WAYS } from "../support/ways.ts"

const REQUESTS = rounds(1200, 20_000)
const CLIENTS = 30

const methods = ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "CONNECT", "PATCH"]
const targets = [
  `${PLUGIN}/echo`,
  `${PLUGIN}/early`,
  `${PLUGIN}/inspect?a=1&access_token=x`,
  `${PLUGIN}/caf%E9`,
  `${PLUGIN}/../x`,
  `http://localhost${PLUGIN}/raise-late`,
  "/plugins/nobody",
  "/api/v4/posts",
  "/metrics",
  "*",
]
const fields = [
  "Content-Length: 5",
  "Content-Length: 300000",
  "Content-Length: 9007199254740993",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: gzip, chunked",
  "Expect: 100-continue",
  "Upgrade: h2c",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Connection: close, Host",
  "Cookie: a=b; MMAUTHTOKEN=x",
  "Authorization: Bearer x",
  `X-Large: ${"y".repeat(9000)}`,
  "Host: elsewhere",
  "TE: trailers",
]
const bodies = ["", "hello", "5\r\nhello\r\n0\r\n\r\n", "5\r\nhel", "ffffffff\r\n", "x".repeat(300_000)]

const oneOf = <A>(all: ReadonlyArray<A>): A => all[randomInt(all.length)]!
const some = <A>(most: number, make: () => A): Array<A> => Array.from({ length: randomInt(most + 1) }, make)

/** A few requests on one connection; every third time with bytes changed. */
const bytes = (): Buffer => {
  const requests = [0, ...some(3, () => 0)].map(() => {
    const hosts = randomInt(10) === 0 ? [] : ["Host: localhost"]
    const lines = [`${oneOf(methods)} ${oneOf(targets)} HTTP/1.1`, ...hosts, ...some(3, () => oneOf(fields)), "", ""]
    return lines.join("\r\n") + oneOf(bodies)
  })
  let all = Buffer.from(requests.join(""), "latin1")
  for (const _ of randomInt(3) === 0 ? some(5, () => 0) : []) {
    const at = randomInt(Math.min(all.length, 600))
    const between = randomInt(2) === 0 ? [randomInt(256)] : []
    all = Buffer.concat([all.subarray(0, at), Buffer.from(between), all.subarray(at + randomInt(3))])
  }
  return all
}

/** Sends part of something, waits a little or not, sends the rest or not, and goes in some way. */
const misbehave = Effect.scoped(
  Effect.gen(function* () {
    const { socket, write } = yield* connected
    const all = bytes()
    const cut = oneOf([all.length, randomInt(all.length + 1)])
    if (randomInt(3) === 0) socket.pause()
    write(all.subarray(0, cut))
    yield* Effect.sleep(randomInt(40))
    if (randomInt(3) === 0) write(all.subarray(cut))
    oneOf([() => socket.resetAndDestroy(), () => socket.destroy(), () => socket.end()])()
  }),
)

describe.skipIf(noPython).each(WAYS)("HTTP, by %s", (way) => {
  layer(supervisor(way), { timeout: "90 seconds", excludeTestServices: true })((it) => {
    it.effect(`survives ${REQUESTS} clients at random`, () =>
      Effect.gen(function* () {
        yield* Effect.forEach(Array.from({ length: REQUESTS }), () => misbehave, {
          concurrency: CLIENTS,
          discard: true,
        })
        yield* isUnharmed
      }),
    )
  })
})
