/** Plugins that want to get out of what they are given, or to stay when they are stopped. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { bounded, brief, type Bundle, fails, type FaultName, type Kind, kinds, peer, sh, starts } from "./support.ts"

/** What it has started is gone with it. */
const goesWith = (fault: FaultName): Kind => starts(peer(fault), brief, [/^ready$/])
/** The same, of a plugin that ends by itself. */
const goesWithCrashed = (fault: FaultName): Kind => ({
  bundle: peer(fault),
  options: brief,
  outcome: ({ logged, start }) =>
    Effect.gen(function* () {
      const { ended, process: running } = yield* start
      yield* logged(/^ready$/)
      process.kill(running.pid, "SIGSEGV")
      assert.deepStrictEqual(yield* bounded("its end", ended), {
        _tag: "Exited",
        exit: { code: null, signal: "SIGSEGV" },
      })
    }),
})

kinds("a plugin that is stopped and has started", {
  "a child": goesWith("starts a child"),
  "a session": goesWith("starts a session"),
  "a group": goesWith("starts a group"),
  "a daemon": goesWith("starts a daemon"),
  "what starts itself anew": goesWith("starts what starts itself anew"),
  "what becomes its own child, again and again": goesWith("starts what becomes its own child"),
  "what ignores signals": goesWith("starts what ignores signals"),
  "what is stopped": goesWith("starts what is stopped"),
  "a child without an environment": goesWith("starts a child without an environment"),
  "a session without an environment": goesWith("starts a session without an environment"),
})

kinds("a plugin that crashes and has started", {
  "a child": goesWithCrashed("starts a child"),
  "a session": goesWithCrashed("starts a session"),
  "a daemon": goesWithCrashed("starts a daemon"),
  "what starts itself anew": goesWithCrashed("starts what starts itself anew"),
})

const executable = (path: string, files: Bundle = {}): Bundle => ({
  "plugin.json": JSON.stringify({ id: "hostile", name: "x", server: { executable: path } }),
  ...files,
})
const OUTSIDE = /leads outside of the bundle/

kinds("a plugin whose executable", {
  "is above its bundle": fails(executable("../bystander/plugin"), "UnsafePathError", [OUTSIDE]),
  "is somewhere above its bundle": fails(executable("a/../../../../../bin/sh"), "UnsafePathError", [OUTSIDE]),
  "has an absolute path": fails(executable("/bin/sh"), "UnsafePathError", [/hostile/]),
  "is a link out of its bundle": fails(executable("plugin", { plugin: { link: "/bin/sh" } }), "UnsafePathError", [
    OUTSIDE,
  ]),
  "is in a folder that is a link out of it": fails(executable("bin/sh", { bin: { link: "/bin" } }), "UnsafePathError", [
    OUTSIDE,
  ]),
  "is a link to itself": fails(executable("plugin", { plugin: { link: "plugin" } }), "UnsafePathError", [/hostile/]),
  "has a NUL in its name": fails(executable("plu\0gin"), "UnsafePathError", [/hostile/]),
  "is not there": fails(executable("plugin"), "UnsafePathError", [/hostile/]),
  "is a folder": fails(executable("plugin", { plugin: { folder: true } }), "NotExecutableError", [/is no file/]),
  "may not be executed": fails(executable("plugin", { plugin: "#!/bin/sh\n" }), "NotExecutableError", [/chmod \+x/]),
  "is empty": fails(executable("plugin", { plugin: { executable: "" } }), "HandshakeError", [
    /ran to its end and served nothing/,
  ]),
  "is of another machine": fails(
    executable("plugin", {
      plugin: { executable: "\x7fELF\x01\x01\x01".padEnd(18, "\0") + "\x28\0".padEnd(64, "\0") },
    }),
    "HandshakeError",
    [/for arm \(this machine is/],
  ),
  "wants an interpreter that is not there": fails(
    executable("plugin", { plugin: { executable: "#!/no/such/interpreter\n" } }),
    "PluginSpawnError",
    [
      /check that the file exists, is executable and was built for this machine/,
      /a script that starts "#!\/no\/such\/interpreter"/,
    ],
  ),
  "is other than its checksum says": fails(sh("exit 0"), "ChecksumError", [/plugin/], {
    checksums: { plugin: "0".repeat(64) },
  }),
})

kinds("a plugin whose manifest", {
  "is a link to somebody's secrets": {
    bundle: { "plugin.json": { link: "/etc/passwd" } },
    outcome: ({ start }) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(start)
        assert.strictEqual(error._tag, "BundleError")
        assert.match(error.message, OUTSIDE)
        assert.notInclude(error.message, "root:")
      }),
  },
  "is a device": fails({ "plugin.json": { link: "/dev/zero" } }, "BundleError", [OUTSIDE]),
  "wants another id": fails({ ...sh("exit 0"), "plugin.json": '{"id":"../hostile","name":"x"}' }, "ManifestError", [
    /expected 3 to 190 characters/,
  ]),
})

/** What is removed is made again: the plugin goes on, and its host API is there for it. */
const madeAgain = (fault: FaultName): Kind => ({
  bundle: peer(fault),
  options: brief,
  outcome: ({ logged, start, state, stop }) =>
    Effect.gen(function* () {
      const { hooks } = yield* start
      const text = Effect.map(hooks.executeCommand({}), ({ response }) => response?.text)
      assert.strictEqual(yield* text, "removed")
      yield* logged(/somebody has removed .*plugin-host-.*, which is made again; .*--runtime-directory/)
      assert.strictEqual(yield* text, "0")
      assert.strictEqual(state().name, "Running")
      yield* stop
    }),
})

kinds("a plugin that", {
  "looks for its host's environment": {
    bundle: peer("well", { before: 'env -0 >"${0%/*}/env"' }),
    outcome: ({ root, start }) =>
      Effect.gen(function* () {
        process.env["SECRET_OF_THE_HOST"] = "s3cret"
        yield* Effect.ensuring(
          start,
          Effect.sync(() => delete process.env["SECRET_OF_THE_HOST"]),
        )
        const variables = readFileSync(join(root, "hostile/env"), "utf8")
        assert.notMatch(variables, /s3cret|VITEST|npm_/)
        assert.match(variables, /(?:^|\0)MATTERMOST_PLUGIN_API_TARGET=unix:/)
      }),
  },
  "closes its life line": starts(peer("well", { before: "exec 0<&-" })),
  "removes its folder for sockets": madeAgain("removes its folder for sockets"),
  "removes the socket of its host API": madeAgain("removes the socket of its host API"),
  "goes on removing the socket of its host API": {
    bundle: peer("goes on removing the socket of its host API"),
    options: brief,
    outcome: ({ start, state }) =>
      Effect.gen(function* () {
        const { ended } = yield* start
        assert.strictEqual((yield* bounded("its end", ended))._tag, "Lost")
        assert.match(
          state().error ?? "",
          // Where it is quick enough, the socket is gone again before it is one.
          /hostile was stopped, .*api\.sock, and it can't be made again/,
        )
      }),
  },
  "locks its folder for sockets": starts(peer("locks its folder for sockets"), brief),
})
