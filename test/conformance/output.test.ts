/** What plugins print and log, as it reaches the host; the same cases for a plugin on go-plugin and one on our SDK, by either protocol. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Sink } from "effect"
import { statusCode } from "../../src/goplugin/index.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import {
  collect,
  goKind,
  goPluginHost,
  type Kind,
  pythonKind,
  recorded,
  start,
  ttrpcKind,
} from "../support/goplugin.ts"
import { eventually } from "../support/host.ts"
import type { Entry } from "../support/log.ts"

const { leave, printKV, printStdio } = Test.method

const MIB = 1024 * 1024

const suite = (kind: Kind) => {
  const live = <E>(name: string, test: (log: ReadonlyArray<Entry>) => Effect.Effect<unknown, E, any>) =>
    it.live(name, () => recorded(test).pipe(Effect.provide(goPluginHost)) as Effect.Effect<unknown, E>)
  const isGo = kind === goKind
  const plugin = kind.options().process.pluginId

  live("stdio: stdout and stderr reach their sinks byte for byte", () =>
    Effect.gen(function* () {
      const [stdout, stderr] = [collect(), collect()]
      const sent = { stdout: Buffer.from([0, 255, 10, 13, 195, 40]), stderr: Buffer.from("näh\r\nand no end of line") }
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { client } = yield* start(kind, { output: { stdout: stdout.sink, stderr: stderr.sink } })
          yield* client.unary(printStdio, sent)
          // What was written right before the end is not lost.
          yield* client.unary(printStdio, { stdout: Buffer.from("last words") })
          yield* eventually("it has come", () => stdout.text().endsWith("last words"))
        }),
      )
      assert.deepStrictEqual(stdout.bytes(), Buffer.concat([sent.stdout, Buffer.from("last words")]))
      assert.deepStrictEqual(stderr.bytes(), sent.stderr)
    }),
  )

  live("stdio: without a sink it is logged by line, and much of it blocks nobody", (log) =>
    Effect.gen(function* () {
      const { client } = yield* start(kind)
      const line = `${"x".repeat(99)}\n`
      yield* client.unary(printStdio, { stdout: Buffer.from(line.repeat(5000)), stderr: Buffer.from("and this\n") })
      yield* eventually("all is logged", () => log.filter(({ message }) => message.length === 99).length === 5000)
      yield* eventually("stderr too", () => log.some(({ message }) => message === "and this"))
      assert.strictEqual(log.find(({ message }) => message === "and this")?.fields["source"], "plugin_stderr")
    }),
  )

  live("stdio: a sink that fails or has enough is reported and holds up nobody", (log) =>
    Effect.gen(function* () {
      const { client } = yield* start(kind, {
        output: { stdout: Sink.fail("this sink leaks"), stderr: Sink.take<Uint8Array>(1) },
      })
      const much = Buffer.alloc(MIB, "y\n")
      yield* client.unary(printStdio, { stdout: much, stderr: much })
      yield* client.unary(printStdio, { stdout: much, stderr: much })
      yield* eventually("it is logged", () => log.some(({ message }) => message.includes("the sink for stdout of")))
    }),
  )

  live("log: what the plugin logs arrives with its level and fields", (log) =>
    Effect.gen(function* () {
      const { client } = yield* start(kind)
      yield* client.unary(printKV, { key: "foo", value: { case: "text", value: "bar" } })
      yield* client.unary(printKV, { key: "foo", value: { case: "number", value: 12 } })
      const printed = () => log.filter(({ message }) => message === "printed")
      yield* eventually("both are logged", () => printed().length === 2)
      assert.deepStrictEqual(
        printed().map(({ fields, level }) => [level, fields["foo"], fields["plugin_id"]]),
        [
          ["Info", "bar", plugin],
          ["Info", 12, plugin],
        ],
      )
    }),
  )

  live("log: whatever a plugin writes to its stderr is logged at its level, and is no danger", (log) =>
    Effect.gen(function* () {
      const long = "l".repeat(100_000)
      const raw = [
        "plain",
        "[WARN] this is a warning",
        '["a list"]',
        "12345",
        '{"no":"level"}',
        '{"@message":1,"@level":2,"@timestamp":[]}',
        '{"@level":"warn","@message":"three digits","@timestamp":"2026-01-01T00:00:00.123Z"}',
        '{"@level":"error","@message":{"a":1}}',
        "carriage return\r",
        long,
      ].join("\n")
      const stderr = collect()
      const FIXTURE_STDERR = `${raw}\n`
      yield* Effect.scoped(start(kind, { env: { FIXTURE_STDERR }, output: { processStderr: stderr.sink } }))
      assert.isTrue(stderr.text().startsWith(FIXTURE_STDERR), "byte for byte")
      const level = (message: string) => log.find((entry) => entry.message === message)?.level
      assert.strictEqual(level("plain"), "Debug")
      assert.strictEqual(level("[WARN] this is a warning"), "Warn")
      assert.strictEqual(level('["a list"]'), "Debug")
      assert.strictEqual(level("12345"), "Debug")
      assert.strictEqual(level('{"no":"level"}'), "Debug")
      assert.strictEqual(level('{"@message":1,"@level":2,"@timestamp":[]}'), "Debug")
      assert.strictEqual(level("three digits"), "Warn")
      assert.strictEqual(level('{"a":1}'), "Error")
      assert.strictEqual(level("carriage return"), "Debug")
      assert.strictEqual(level(long.slice(0, 65_536)), "Debug")
      assert.strictEqual(level(long.slice(65_536)), "Debug")
    }),
  )

  live("log: a plugin that dies of a panic or an exception is logged at Error, all of it", (log) =>
    Effect.gen(function* () {
      const { client, process } = yield* start(kind)
      const error = yield* Effect.flip(client.unary(leave, { code: 255 }))
      assert.strictEqual(error.code, statusCode.UNAVAILABLE)
      const exit = yield* process.exit
      assert.isFalse(exit.code === 0)
      const cause = isGo ? /panic: .*told to panic/ : /Traceback \(most recent call last\):/
      yield* eventually("it is logged", () =>
        log.some(({ level, message }) => level === "Error" && cause.test(message)),
      )
      yield* eventually("and what follows", () => log.filter(({ level }) => level === "Error").length > (isGo ? 10 : 2))
    }),
  )
}

for (const kind of [goKind, pythonKind, ttrpcKind]) {
  describe.skipIf(kind.missing !== undefined)(`the output of a plugin in ${kind.name}`, () => suite(kind))
}
