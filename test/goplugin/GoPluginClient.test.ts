/** Plugins that don't get as far as a connection, as real processes of the system's shell. */
import { execFileSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { GoPluginClient } from "../../src/goplugin/GoPluginClient.ts"
import type { HandshakeError } from "../../src/goplugin/Handshake.ts"
import { PluginProcess } from "../../src/process/PluginProcess.ts"
import { temporaryFolder } from "../support/folder.ts"
import { BUSY } from "../support/host.ts"
import { recordLog } from "../support/log.ts"

const live = GoPluginClient.layer.pipe(Layer.provide([PluginProcess.layer, NodeServices.layer]))

/** Starts a script as a plugin and answers why it did not start, and how long that took. */
const failure = Effect.fnUntraced(function* (
  script: string,
  startTimeout = "60 seconds" as "60 seconds" | "300 millis",
  autoMtls?: "P-256",
) {
  const cwd = yield* temporaryFolder
  const began = Date.now()
  const error = yield* Effect.flip(
    Effect.scoped(
      (yield* GoPluginClient).start({
        process: {
          pluginId: "broken",
          executable: "/bin/sh",
          args: ["-c", script],
          cwd,
          env: { PATH: "/usr/bin:/bin" },
          waitDelay: "300 millis",
        },
        handshake: { magicCookieKey: "COOKIE", magicCookieValue: "value", protocolVersions: [1] },
        socketDirectory: cwd,
        startTimeout,
        tls: autoMtls === undefined ? undefined : { autoMtls },
      }),
    ),
  )
  return { error: error as HandshakeError, took: Date.now() - began }
})

describe.skipIf(process.platform === "win32")("GoPluginClient", () => {
  const fails = (
    name: string,
    script: string,
    check: (failed: { readonly error: HandshakeError; readonly took: number }) => void,
    startTimeout?: "300 millis",
    autoMtls?: "P-256",
  ) =>
    it.live(name, () =>
      failure(script, startTimeout, autoMtls).pipe(
        Effect.tap((failed) =>
          Effect.sync(() => {
            assert.strictEqual(failed.error._tag, "HandshakeError")
            assert.include(failed.error.message, "plugin broken (/bin/sh) did not start")
            check(failed)
          }),
        ),
        Effect.scoped,
        Effect.provide(live),
      ),
    )

  fails("tells exit code 0 before the handshake, and that nothing was said", "exit 0", ({ error, took }) => {
    assert.strictEqual(error.kind, "exited")
    assert.strictEqual(error.exit, "exit code 0")
    assert.include(error.message, "nothing to stderr")
    assert.include(error.message, "it has to call run_plugin (Python)")
    assert.isBelow(took, BUSY)
  })

  fails("tells what it knows of an executable that ended without a word", "exit 3", ({ error }) => {
    assert.strictEqual(error.diagnosis[0], "path: /bin/sh")
    assert.match(error.message, /mode: 0\d+, owner: .*\n {2}format: /s)
  })

  fails("tells exit code 1 and the end of stderr", "echo one >&2; echo two >&2; exit 1", ({ error }) => {
    assert.strictEqual(error.exit, "exit code 1")
    assert.deepStrictEqual(error.stderr, ["one", "two"])
    assert.include(error.message, "two")
    assert.deepStrictEqual(error.diagnosis, [])
  })

  fails("tells the signal", "kill -SEGV $$", ({ error }) => {
    assert.strictEqual(error.kind, "exited")
    assert.strictEqual(error.exit, "signal SIGSEGV")
  })

  fails(
    "gives up on a plugin that never prints",
    "echo working on it >&2; sleep 300",
    ({ error, took }) => {
      assert.strictEqual(error.kind, "timeout")
      assert.deepStrictEqual(error.stderr, ["working on it"])
      assert.isBelow(took, BUSY)
    },
    "300 millis",
  )

  fails("refuses garbage at once and stops the plugin", "echo Loading plugins; sleep 300", ({ error, took }) => {
    assert.strictEqual(error.kind, "unrecognized")
    assert.include(error.message, "Loading plugins")
    assert.isUndefined(error.exit)
    assert.isBelow(took, BUSY)
  })

  fails(
    "refuses 64 KiB and more without a line's end",
    "head -c 200000 /dev/zero | tr '\\0' x; sleep 300",
    ({ error }) => assert.strictEqual(error.kind, "unrecognized"),
  )

  fails("refuses bytes that are no text", "printf '\\377\\376\\n'; sleep 300", ({ error }) =>
    assert.strictEqual(error.kind, "unrecognized"),
  )

  fails("takes a line without an end for none, when the plugin ends", "printf '1|1|unix|/x|grpc|'", ({ error }) => {
    assert.strictEqual(error.kind, "exited")
    assert.strictEqual(error.exit, "exit code 0")
  })

  fails(
    "reads a line that ends as Windows' do",
    `printf "1|1|unix|$PLUGIN_UNIX_SOCKET_DIR/none|grpc\\r\\n"; sleep 300`,
    ({ error }) => assert.strictEqual(error.kind, "unhealthy"),
  )

  fails("refuses a protocol version it did not offer", "echo '1|7|tcp|127.0.0.1:1|grpc|'; sleep 300", ({ error }) =>
    assert.strictEqual(error.kind, "protocolVersion"),
  )

  fails(
    "tells that nobody serves at the address",
    `echo "1|1|unix|$PLUGIN_UNIX_SOCKET_DIR/none|grpc|"; sleep 300`,
    ({ error }) => {
      assert.strictEqual(error.kind, "unhealthy")
      assert.include(error.message, "UNAVAILABLE")
    },
  )

  fails(
    "tells that it died after its handshake",
    `echo "1|1|unix|$PLUGIN_UNIX_SOCKET_DIR/none|grpc|"; exit 5`,
    ({ error }) => {
      assert.strictEqual(error.kind, "unhealthy")
      assert.strictEqual(error.exit, "exit code 5")
    },
  )

  fails(
    "refuses a plugin that ignores AutoMTLS, at once and by name",
    `case "$PLUGIN_CLIENT_CERT" in "-----BEGIN CERTIFICATE-----"*) echo asked >&2;; esac
     echo '1|1|unix|/no/such/socket|grpc|'; sleep 300`,
    ({ error, took }) => {
      assert.strictEqual(error.kind, "certificate")
      assert.deepStrictEqual(error.stderr, ["asked"])
      assert.isBelow(took, BUSY)
    },
    undefined,
    "P-256",
  )

  fails(
    "gives the plugin the protocol's variables",
    'echo "$COOKIE $PLUGIN_PROTOCOL_VERSIONS $PLUGIN_MIN_PORT-$PLUGIN_MAX_PORT" >&2; test -d "$PLUGIN_UNIX_SOCKET_DIR"',
    ({ error }) => {
      assert.deepStrictEqual(error.stderr, ["value 1 10000-25000"])
      assert.strictEqual(error.exit, "exit code 0")
    },
  )

  it.live("tells that a plugin was built for another machine, whatever the system makes of it", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryFolder
      const executable = join(cwd, "plugin")
      const header = Buffer.alloc(64)
      header.set([0x7f, 0x45, 0x4c, 0x46, 2, 2, 1])
      header.writeUInt16BE(process.arch === "s390x" ? 62 : 22, 18)
      writeFileSync(executable, header, { mode: 0o755 })
      const error = yield* Effect.flip(
        (yield* GoPluginClient).start({
          process: { pluginId: "foreign", executable, args: [], cwd, env: {} },
          handshake: { magicCookieKey: "COOKIE", magicCookieValue: "value", protocolVersions: [1] },
        }),
      )
      assert.match(error.message, /format: an ELF file for \S+ \(this machine is /)
    }).pipe(Effect.scoped, Effect.provide(live)),
  )

  it.live("tells that there is no such executable, also where a wrapper starts it", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryFolder
      const executable = join(cwd, "plugin")
      for (const parentDeathSignal of [undefined, "SIGKILL"] as const) {
        const error = yield* Effect.flip(
          (yield* GoPluginClient).start({
            process: { pluginId: "missing", executable, args: [], cwd, env: process.env, parentDeathSignal },
            handshake: { magicCookieKey: "COOKIE", magicCookieValue: "value", protocolVersions: [1] },
          }),
        )
        assert.include(error.message, `path: ${executable}`)
        assert.include(error.message, "ENOENT")
      }
    }).pipe(Effect.scoped, Effect.provide(live)),
  )

  it.live("lets a plugin read the host's stdin, where that is asked for, and keeps its life line", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryFolder
      const script = join(cwd, "host.mjs")
      const source = (name: string) => new URL(`../../src/${name}`, import.meta.url).href
      writeFileSync(
        script,
        `import { Effect } from "${import.meta.resolve("effect")}"
         import { PluginProcess } from "${source("process/PluginProcess.ts")}"
         const program = Effect.gen(function* () {
           const { spawn } = yield* PluginProcess
           const { exit } = yield* spawn(
             { pluginId: "reader", executable: "/bin/sh", cwd: "/", env: {}, inheritStdin: true,
               args: ["-c", 'read line; echo "$line, life line $PLUGIN_LIFELINE_FD"; test -p /dev/fd/3 && echo pipe'] },
             { stdout: (chunk) => process.stdout.write(chunk), stderr: () => {} })
           yield* exit
           yield* Effect.sleep("100 millis")
         })
         await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(PluginProcess.layer)))`,
      )
      const output = execFileSync(process.execPath, ["--no-warnings", script], { input: "hello\n", timeout: 20_000 })
      assert.match(output.toString(), /^hello, life line 3\n/)
    }).pipe(Effect.scoped),
  )

  it.live("logs the last line of stderr, whether it ends or not, when the plugin dies and when it is stopped", () =>
    Effect.gen(function* () {
      const log = recordLog()
      yield* failure("printf 'last words' >&2; exit 1").pipe(Effect.provide(log.layer))
      assert.include(log.messages(), "last words")
      yield* failure("printf 'unfinished' >&2; echo no handshake; sleep 300").pipe(Effect.provide(log.layer))
      assert.include(log.messages(), "unfinished")
    }).pipe(Effect.scoped, Effect.provide(live)),
  )
})
