/** A native plugin, in Go on our package, over ttrpc and over gRPC, beside a Python one. */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { assert, describe, layer } from "@effect/vitest"
import { create } from "@bufbuild/protobuf"
import { Effect, Exit, Layer, Logger, Option, Schedule, Scope } from "effect"
import { afterAll } from "vitest"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { PluginHooks } from "../../src/generated/mattermost/pluginapi/v1/plugin_hooks_pb.js"
import { type MattermostApiMethods, MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import * as GrpcClient from "../../src/grpc/GrpcClient.ts"
import { eventually, examples, isAlive, noPython } from "../support/host.ts"
import { temporaryFolder } from "../support/folder.ts"
import { baseUrl, server } from "../support/server.ts"

const source = resolve(import.meta.dirname, "../../examples/hello-go")
const noGo = spawnSync("go", ["version"]).status !== 0
if (noGo) process.stderr.write("Tests with Go plugins are skipped: there is no go on the PATH\n")

const plugins = mkdtempSync(join(tmpdir(), "native-"))
afterAll(() => rmSync(plugins, { recursive: true, force: true }))

/** The first build downloads and compiles go-plugin and gRPC. */
const BUILD_LIMIT = 300_000

const build = () => {
  execFileSync(join(source, "build.sh"), { stdio: "inherit" })
  cpSync(join(source, "dist/hello-go"), join(plugins, "go"), { recursive: true })
  cpSync(join(examples, "hello-python"), join(plugins, "python"), { recursive: true })
}

describe.skipIf(noGo || noPython).each(["ttrpc", "grpc"] as const)("a Go plugin over %s", (transport) => {
  const messages: Array<string> = []
  const posts: Array<string> = []
  const recorder = Logger.make<unknown, void>(({ message }) => {
    messages.push(String(Array.isArray(message) ? message[0] : message))
  })
  const methods: MattermostApiMethods = {
    getServerVersion: () => Effect.succeed({ version: "1.2.3" }),
    createPost: ({ post }) => Effect.sync(() => (posts.push(post?.message ?? ""), { post: post! })),
    kVCompareAndSet: () => Effect.succeed({ success: true }),
  }
  const built = Layer.suspend(() => {
    build()
    return server(plugins, methods, { "hello-go": { transport, restart: { delay: "10 millis" } } })
  }).pipe(Layer.provide(Logger.layer([recorder])))

  layer(built, { timeout: BUILD_LIMIT, excludeTestServices: true })((it) => {
    it.effect("is activated, called, served and calls back, beside a Python plugin", () =>
      Effect.gen(function* () {
        const base = yield* baseUrl
        const { find } = yield* MattermostPlugins.Environment
        const active = Option.getOrThrow(yield* Option.getOrThrow(yield* find("hello-go")).run)
        assert.deepStrictEqual([...active.client.implemented].toSorted(), [
          "messageHasBeenPosted",
          "messageWillBePosted",
          "onActivate",
          "onDeactivate",
          "serveHTTP",
        ])
        assert.isTrue(Option.isSome(yield* Option.getOrThrow(yield* find("hello-python")).run))
        yield* active.ping
        assert.isTrue(active.client.http !== undefined, "it serves HTTP itself")
        assert.isFalse(active.client.keepsOrder, "calls begin in any order in Go")

        const dispatcher = yield* MattermostPlugins
        const draft = (message: string) => create(PostSchema, { id: "1", channelId: "c", message })
        const refused = yield* Effect.flip(dispatcher.decide("messageWillBePosted", { post: draft("forbidden") }))
        assert.strictEqual(refused.pluginId, "hello-go", "its id comes first")
        const { post: changed } = yield* dispatcher.decide("messageWillBePosted", { post: draft("hello go :wave:") })
        assert.strictEqual(changed.message, "hello go 👋", "the Python plugin comes next")
        yield* dispatcher.notify("messageHasBeenPosted", { post: changed })
        yield* eventually("it has answered through the API", () => posts.includes("Hello from Go!"))

        const page = yield* Effect.promise(() => fetch(`${base}/plugins/hello-go/`))
        assert.strictEqual(yield* Effect.promise(() => page.text()), "Hello from Go!")
        yield* eventually("what it prints is logged", () => messages.includes("serving /"))
        assert.isTrue(messages.includes("hello-go is active"))

        const body = Buffer.alloc(5 * 1024 * 1024, "go")
        const echoed = yield* Effect.promise(() => fetch(`${base}/plugins/hello-go/echo`, { method: "POST", body }))
        assert.isTrue(Buffer.from(yield* Effect.promise(() => echoed.arrayBuffer())).equals(body))

        const many = Array.from({ length: 300 }, (_, index) => index)
        const pages = many.map((index) => () => fetch(`${base}/plugins/hello-go/${index}`).then((page) => page.status))
        const [statuses, decided] = yield* Effect.all(
          [
            Effect.forEach(pages, (page) => Effect.promise(page), { concurrency: 50 }),
            Effect.forEach(
              many,
              (index) => Effect.exit(active.hooks.messageWillBePosted({ post: draft(`${index}`) })),
              {
                concurrency: "unbounded",
              },
            ),
          ],
          { concurrency: 2 },
        )
        assert.isTrue(statuses.every((status) => status === 200))
        assert.isTrue(decided.every(Exit.isSuccess))
      }),
    )

    it.effect("is started anew when it is killed, and serves hooks and HTTP again", () =>
      Effect.gen(function* () {
        const base = yield* baseUrl
        const plugin = Option.getOrThrow(yield* (yield* MattermostPlugins.Environment).find("hello-go"))
        const first = Option.getOrThrow(yield* plugin.run)
        process.kill(first.process.pid, "SIGKILL")
        yield* first.ended
        const isAnew = (run: typeof first) => run.process.pid !== first.process.pid
        const second = yield* Effect.repeat(plugin.run, {
          schedule: Schedule.spaced("20 millis"),
          until: Option.exists(isAnew),
        }).pipe(Effect.timeout("60 seconds"))
        const { rejectionReason } = yield* Option.getOrThrow(second).hooks.messageWillBePosted({
          post: { message: "forbidden" },
        })
        assert.include(rejectionReason, "not allowed")
        const page = yield* Effect.promise(() => fetch(`${base}/plugins/hello-go/`))
        assert.strictEqual(yield* Effect.promise(() => page.text()), "Hello from Go!")
      }),
    )

    it.effect("goes when its host is killed", () =>
      Effect.gen(function* () {
        const script = join(import.meta.dirname, "../fixtures/hostThatDies.ts")
        const folder = yield* temporaryFolder
        const host = yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn(process.execPath, [script, join(plugins, "go"), "", transport], {
              env: { ...process.env, TMPDIR: folder },
              stdio: ["ignore", "pipe", "inherit"],
            }),
          ),
          (host) => Effect.sync(() => host.kill("SIGKILL")),
        )
        let output = ""
        host.stdout.on("data", (chunk) => (output += String(chunk)))
        const pid = () => Number(/plugin (\d+)\n/.exec(output)?.[1] ?? 0)
        yield* eventually("it is active", () => pid() > 0)
        assert.isTrue(isAlive(pid()))
        host.kill("SIGKILL")
        yield* eventually("it is gone", () => !isAlive(pid()))
      }).pipe(Effect.scoped),
    )

    it.effect.each(["P-256", "P-384", "P-521"] as const)("speaks AutoMTLS on %s", (autoMtls) =>
      Effect.gen(function* () {
        const bundle = yield* (yield* PluginBundles).load(join(plugins, "go"))
        const { client, hooks, ping } = yield* (yield* MattermostPlugins.Supervisor).start(bundle, { autoMtls })
        yield* ping
        const { rejectionReason } = yield* hooks.messageWillBePosted({ post: { message: "forbidden" } })
        assert.include(rejectionReason, "not allowed")
        // Whoever has no certificate of the host's is not let in.
        const stranger = yield* GrpcClient.make(client.client.target)
        const refused = yield* Effect.flip(
          stranger.unary(PluginHooks.method.implemented, {}, { deadline: "60 seconds" }),
        )
        assert.strictEqual(refused.status, "UNAVAILABLE")
      }).pipe(Effect.scoped),
    )

    it.effect("ends when it is asked to, and is checked before it runs", () =>
      Effect.gen(function* () {
        const bundle = yield* (yield* PluginBundles).load(join(plugins, "go"))
        const supervisor = yield* MattermostPlugins.Supervisor
        const scope = yield* Scope.make()
        const { process } = yield* Scope.provide(
          supervisor.start(bundle, { transport, shutdownLimit: "60 seconds" }),
          scope,
        )
        yield* Scope.close(scope, Exit.void)
        assert.isFalse(isAlive(process.pid))
        assert.deepStrictEqual(yield* process.exit, { code: 0, signal: null })

        const swapped = supervisor.start(bundle, { checksums: { "hello-go": "0".repeat(64) } })
        assert.strictEqual((yield* Effect.flip(swapped))._tag, "ChecksumError")
      }).pipe(Effect.scoped),
    )
  })
})
