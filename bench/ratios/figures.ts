/** All that is measured for the ratios. */
import { Effect, type Scope } from "effect"
import { resident } from "../memory.ts"
import { importGrpc } from "../python.ts"
import { peers } from "../reference/peers.ts"
import { httpFigures } from "./http.ts"
import { type Ours, ours, startToActive } from "./ours.ts"
import type { Figure } from "./rounds.ts"
import { type Took, took } from "./took.ts"
import { clientsOf } from "./unary.ts"

const SEQUENTIAL = 1000
const IN_FLIGHT = 64
const CONCURRENT = 6400
/** A multiple of what is told in one burst. */
const EVENTS = 3600
const PAIRS = 1920
const MIB = 1024 * 1024

const p50 = (calls: Effect.Effect<Took, unknown>): Figure => ({
  unit: "ms",
  measure: Effect.map(calls, ({ p50 }) => p50),
})
const perSecond = (count: number, millis: Effect.Effect<number, unknown>): Figure => ({
  unit: "/s",
  measure: Effect.map(millis, (millis) => (count / millis) * 1000),
})
const total = (calls: Effect.Effect<Took, unknown>) => Effect.map(calls, ({ total }) => total)
const memory = (pid: number): Figure => ({ unit: "MiB", measure: Effect.sync(() => resident(pid) / MIB) })

export const figures: Effect.Effect<{ readonly [name: string]: Figure }, unknown, Scope.Scope> = Effect.gen(
  function* () {
    const peer = yield* peers
    const asyncPlugin = yield* ours("async")
    const syncPlugin = yield* ours("sync")
    const unary = yield* clientsOf(peer.api)
    const start = yield* startToActive
    const inFlight = ({ ask }: Pick<Ours, "ask">): Figure => perSecond(CONCURRENT, total(ask(CONCURRENT, IN_FLIGHT)))
    return {
      asyncHook: p50(asyncPlugin.ask(SEQUENTIAL, 1)),
      syncHook: p50(syncPlugin.ask(SEQUENTIAL, 1)),
      wireHook: p50(peer.ask(SEQUENTIAL, 1)),
      netRpcHook: p50(peer.netRpc(SEQUENTIAL, 1)),
      asyncHooks: inFlight(asyncPlugin),
      syncHooks: inFlight(syncPlugin),
      wireHooks: inFlight(peer),
      events: perSecond(EVENTS, asyncPlugin.tell(EVENTS)),
      wireEvents: perSecond(EVENTS, total(peer.tell(EVENTS, IN_FLIGHT))),
      grpcCall: p50(took(unary.ours, SEQUENTIAL, 1)),
      grpcJsCall: p50(took(unary.bare, SEQUENTIAL, 1)),
      pairs: perSecond(PAIRS, asyncPlugin.pairs(PAIRS, IN_FLIGHT)),
      grpcPairs: perSecond(PAIRS, peer.pairs(PAIRS, IN_FLIGHT)),
      start: { unit: "ms", measure: start },
      importGrpc: { unit: "ms", measure: total(took(importGrpc, 1, 1)) },
      pluginMemory: memory(yield* asyncPlugin.pid),
      serverMemory: memory(peer.serverPid),
      ...(yield* httpFigures),
    }
  },
)
