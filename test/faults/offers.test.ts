/** What plugins say of themselves beside their contract, true and false; and those that serve HTTP themselves. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { serveHttp } from "../../src/hooks/ServeHttp.ts"
import { eventually, isAlive } from "../support/host.ts"
import { head, wire } from "../support/rawHttp.ts"
import { serving } from "./serving.ts"
import { bounded, type FaultName, fails, type Kind, kinds, peer, processesWith } from "./support.ts"

/** A plugin that is served by its contract, as before. */
const byContract = (fault: FaultName): Kind => ({
  bundle: peer(fault),
  outcome: ({ start, stop }) =>
    Effect.gen(function* () {
      const { client } = yield* start
      assert.isUndefined(client.http)
      const init = { method: "GET", url: "/" }
      assert.strictEqual((yield* Effect.scoped(serveHttp(client, { init }))).status, 200)
      yield* stop
    }),
})

kinds("a plugin that is asked what it offers and", {
  "does not know the question": byContract("knows no offers"),
  "offers nothing": byContract("offers nothing"),
  "offers HTTP nowhere": byContract("offers HTTP nowhere"),
  "offers HTTP on somebody's socket": fails(peer("offers HTTP on somebody's socket"), "HookPluginError", [
    /it says that it serves HTTP at \/tmp\/somebody\.sock, which is not in its socket folder/,
  ]),
  "offers HTTP on a port": fails(peer("offers HTTP on a port"), "HookPluginError", [/127\.0\.0\.1:80/, /unix:/]),
  "offers HTTP on no path": fails(peer("offers HTTP on no path"), "HookPluginError", [/unix:http\.sock/]),
  fails: fails(peer("fails when it is asked what it offers"), "HookPluginError", [/Describe/, /no web server for you/]),
  exits: fails(peer("exits when it is asked what it offers"), "PluginExitedError", [/exit code 9/, /Describe/]),
  crashes: fails(peer("crashes when it is asked what it offers"), "PluginExitedError", [/SIGSEGV/, /Describe/]),
  "never answers": fails(peer("never says what it offers"), "HookDeadlineError", [/Describe.*10000 ms/]),
})

const WEBSOCKET = head("GET", "/plugins/direct/ws", [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
])
const GOING_AWAY = "\x88\x02\x03\xe9"

describe.skipIf(process.platform !== "linux")("a plugin that serves HTTP itself", () => {
  it.live(
    "is served so, ends its clients' connections with itself, and is an ordinary plugin otherwise",
    () =>
      Effect.gen(function* () {
        const plugins = { direct: peer("serves HTTP itself", { id: "direct" }) }
        const { ask, child, ended, port, root, state } = yield* serving({ plugins })
        assert.deepStrictEqual(yield* ask("/plugins/direct/a?b=1"), { status: 200, text: "by itself: /a?b=1" })
        const open = Effect.gen(function* () {
          const connection = yield* wire(port)
          connection.write(WEBSOCKET)
          yield* connection.until(/101 Switching.*hi$/s)
          return connection
        })
        // It crashes.
        const first = yield* open
        const crashed = processesWith(`${root}/plugins/direct`)
        assert.include([502, 503], (yield* ask("/plugins/direct/die")).status, "asked once more, it is gone")
        assert.isTrue((yield* first.untilClosed).endsWith(`hi${GOING_AWAY}`))
        yield* eventually("nothing is left of it", () => !crashed.some(isAlive))
        // It restarts.
        const again = yield* Effect.repeat(Effect.delay(ask("/plugins/direct/a"), "50 millis"), {
          until: ({ status }) => status !== 503,
        }).pipe(Effect.timeout("60 seconds"))
        assert.deepStrictEqual(again, { status: 200, text: "by itself: /a" })
        const { lastFailure, name, restarts } = yield* state("direct")
        assert.deepStrictEqual({ name, restarts }, { name: "Running", restarts: 1 })
        assert.match(lastFailure?.reason ?? "", /direct ended unexpectedly/)
        child.kill("SIGTERM")
        yield* bounded("its end", ended)
      }).pipe(Effect.scoped),
    180_000,
  )

  it.live(
    "keeps no host from ending that is told to, with its clients",
    () =>
      Effect.gen(function* () {
        const plugins = { direct: peer("serves HTTP itself", { id: "direct" }) }
        const { child, ended, port } = yield* serving({ plugins })
        const socket = yield* wire(port)
        socket.write(WEBSOCKET)
        yield* socket.until(/101 Switching.*hi$/s)
        const stream = yield* wire(port)
        stream.write(head("GET", "/plugins/direct/forever"))
        yield* stream.until(/tick/)
        child.kill("SIGTERM")
        assert.strictEqual(yield* bounded("its end", ended), 0)
        assert.isTrue((yield* socket.untilClosed).endsWith(`hi${GOING_AWAY}`))
        yield* stream.untilClosed
      }).pipe(Effect.scoped),
    180_000,
  )
})
