/** What ours stands beside, each a process of its own that runs as long as the bench does. */
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import { root } from "../../scripts/python.ts"
import { temporaryFolder } from "../folder.ts"
import { program } from "../program.ts"
import { interpreter } from "../python.ts"
import type { Took } from "../ratios/took.ts"
import { buildReference, buildStubs } from "./built.ts"

/** Makes so many calls, of which so many are in flight at a time. */
export type Calls = (count: number, inFlight: number) => Effect.Effect<Took, Error>

/** All of them. */
export interface Peers {
  /** The reference wire, with a hook that is asked and one that is told. */
  readonly ask: Calls
  readonly tell: Calls
  /** The process of the plain server. */
  readonly serverPid: number
  /** go-plugin's net/rpc. */
  readonly netRpc: Calls
  /** Milliseconds of so many pairs of KVSet and KVGet, on the host API that answers constants. */
  readonly pairs: (count: number, inFlight: number) => Effect.Effect<number, Error>
  /** Where that host API is. */
  readonly api: string
}

export const peers: Effect.Effect<Peers, Error, Scope.Scope> = Effect.gen(function* () {
  const reference = buildReference()
  const env = { ...process.env, PYTHONPATH: buildStubs() }
  const python = (name: string, address: string) =>
    program(interpreter, [join(root, "bench/reference", name), address], env)
  const folder = yield* temporaryFolder
  const address = `unix:${join(folder, "server.sock")}`
  const server = yield* python("server.py", address)
  yield* server.line
  const wire = yield* program(reference, ["wire", address])
  const netRpc = yield* program(reference, ["netrpc"])
  const apiSocket = join(folder, "api.sock")
  yield* (yield* program(reference, ["api", apiSocket])).line
  const api = `unix:${apiSocket}`
  const client = yield* python("client.py", api)
  const calls =
    ({ ask }: typeof wire, name: string): Calls =>
    (count, inFlight) =>
      Effect.map(ask(`${name} ${count} ${inFlight}`), (answer) => JSON.parse(answer) as Took)
  return {
    ask: calls(wire, "ask"),
    tell: calls(wire, "tell"),
    serverPid: server.pid,
    netRpc: calls(netRpc, "ask"),
    pairs: (count, inFlight) => Effect.map(client.ask(`${count} ${inFlight}`), Number),
    api,
  }
})
