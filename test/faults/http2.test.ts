/**
 * Peers that break HTTP/2 and gRPC, in both directions, by the thousands: whatever they send, the process lives, every
 * call ends, and nothing stays. Each direction is a process of its own, whose garbage is collected now and then: some of
 * what a peer can do to Node shows only then.
 */
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Effect } from "effect"
import { assert, describe, it, vi } from "vitest"
import * as GrpcClient from "../../src/grpc/GrpcClient.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { rounds } from "../support/soak.ts"

const ROUNDS = rounds(2500, 25_000)

/** How long they may take, in milliseconds: a hundred a second, on a machine that does other things too. */
const TIME = 200_000 + 10 * ROUNDS

/** A failure is had again with `SEED=<the seed it names>`. */
const SEED = Number(process.env["SEED"] ?? Date.now() % 1_000_000_000)

/** Far beyond what the messages there take; one that is unzipped without a bound has 50 MiB, and many come at once. */
const MAX_MEMORY = 900 * 1024 * 1024

interface Report {
  readonly outcomes: { readonly [outcome: string]: number }
  readonly left: ReadonlyArray<string>
  readonly maxRss: number
}

const run = async <R extends Report>(program: string): Promise<R> => {
  const script = join(import.meta.dirname, "../fixtures/http2", program)
  try {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--no-warnings", "--expose-gc", script, String(ROUNDS), String(SEED)],
      { timeout: TIME, maxBuffer: 1024 * 1024 * 1024 },
    )
    return JSON.parse(stdout)
  } catch (error) {
    throw new Error(`${program} ${ROUNDS} ${SEED} failed; to see it again: SEED=${SEED}`, { cause: error })
  }
}

const check = ({ left, maxRss, outcomes }: Report): void => {
  const total = Object.values(outcomes).reduce((sum, count) => sum + count, 0)
  assert.strictEqual(total, ROUNDS)
  assert.deepStrictEqual(left, [])
  assert.isBelow(maxRss, MAX_MEMORY)
}

describe.skipIf(process.platform === "win32").concurrent("HTTP/2", { timeout: TIME + 20_000 }, () => {
  it("random answers of a server: every call ends with a status that is one, and nothing stays", async () => {
    const report = await run("answers.ts")
    check(report)
    assert.isAbove(report.outcomes["OK"] ?? 0, 0)
    assert.isAbove(report.outcomes["RESOURCE_EXHAUSTED"] ?? 0, 0)
  })

  it("random requests to a server: it serves as before, no handler goes on, and it closes in time", async () => {
    const report = await run<Report & { number: number; running: number; closedWithin: number }>("requests.ts")
    check(report)
    assert.deepStrictEqual([report.number, report.running], [42, 0])
    assert.isBelow(report.closedWithin, 10_000)
  })

  it("a message in frames of one byte costs its bytes, and many zipped ones are not unzipped at once", async () => {
    const script = join(import.meta.dirname, "../fixtures/http2/memory.ts")
    const { stdout } = await promisify(execFile)(process.execPath, ["--no-warnings", "--expose-gc", script], {
      timeout: 200_000,
    })
    const report = JSON.parse(stdout) as { readonly tiny: number; readonly zipped: number }
    // 420,000 frames, of which each was an object of 140 bytes; and forty messages of 60 MiB.
    assert.isBelow(report.tiny, 20 * 1024 * 1024)
    assert.isBelow(report.zipped, 1200 * 1024 * 1024)
  })

  it("a server that has no descriptor left for a connection loses that, and goes on", async () => {
    const folder = mkdtempSync(join(tmpdir(), "http2-"))
    const path = join(folder, "server")
    const script = join(import.meta.dirname, "../fixtures/http2/server.ts")
    const command = `ulimit -n 60; exec "${process.execPath}" --no-warnings "${script}" "${path}"`
    const server = spawn("/bin/sh", ["-c", command], { stdio: ["ignore", "pipe", "ignore"] })
    const exited = once(server, "exit")
    let output = ""
    server.stdout.on("data", (chunk) => (output += String(chunk)))
    try {
      await vi.waitUntil(() => output.includes("serving"), { timeout: 60_000 })
      const sockets = Array.from({ length: 100 }, () => connect(path))
      for (const socket of sockets) socket.on("error", () => {})
      await vi.waitUntil(() => sockets.some((socket) => socket.destroyed), { timeout: 60_000 })
      for (const socket of sockets) socket.destroy()
      const answer = Effect.flatMap(GrpcClient.make(`unix:${path}`), (client) =>
        client.unary(Test.method.double, { number: 21 }, { deadline: "60 seconds" }),
      )
      assert.strictEqual((await Effect.runPromise(Effect.scoped(answer))).number, 42)
      assert.isNull(server.exitCode)
    } finally {
      server.kill("SIGKILL")
      await exited
      rmSync(folder, { recursive: true })
    }
  })
})
