/** A Python plugin's whole life with real processes: what is called when, what fails how, and that nothing is left. */
import { existsSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { create } from "@bufbuild/protobuf"
import { Deferred, Effect, Exit, Fiber, Option, Scope, Stream, SubscriptionRef } from "effect"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { PluginAPI } from "../../src/generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import * as GrpcClient from "../../src/grpc/GrpcClient.ts"
import type { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { MAX_CONCURRENT_STREAMS } from "../../src/rpc/RpcLimits.ts"
import type { SupervisorOptions } from "../../src/supervisor/SupervisorOptions.ts"
import { ownTemporaryFolder } from "../support/folder.ts"
import { recordLog } from "../support/log.ts"
import { eventually, examples, fixture, host, isAlive, noPython, socketFolders } from "../support/host.ts"

ownTemporaryFolder()

/** Starts plugins that are called over one transport. */
const starting = (transport: "ttrpc" | "grpc") =>
  Effect.fnUntraced(function* (directory: string, options: SupervisorOptions<MattermostContract> = {}) {
    const bundle = yield* (yield* PluginBundles).load(directory)
    const { start, state } = yield* (yield* MattermostPlugins.Supervisor).supervise(bundle, { transport, ...options })
    return { ...(yield* start), state }
  })

const mode = (MODE: string): SupervisorOptions<MattermostContract> => ({ variables: { MODE } })

describe.skipIf(noPython)("a Python plugin whose calls are to be encrypted", () => {
  const start = starting("grpc")

  it.live.each(["P-256", "P-384", "P-521"] as const)("goes over TLS on %s", (autoMtls) =>
    Effect.gen(function* () {
      const { hooks, ping } = yield* start(fixture("lifecycle"), { autoMtls })
      yield* ping
      yield* hooks.messageWillBePosted({ post: { message: "hello" } })
    }).pipe(Effect.scoped, Effect.provide(host())),
  )

  it.live("is not started where that goes with ttrpc", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(start(fixture("lifecycle"), { autoMtls: "P-256", transport: "ttrpc" }))
      assert.include(error.message, "ttrpc is not encrypted")
    }).pipe(Effect.scoped, Effect.provide(host())),
  )
})

describe.skipIf(noPython).each(["ttrpc", "grpc"] as const)("the life of a Python plugin over %s", (transport) => {
  const start = starting(transport)

  it.live("activates, answers and leaves nothing behind", () => {
    const log = recordLog()
    return Effect.gen(function* () {
      const before = socketFolders()
      const scope = yield* Scope.make()
      // So that it has all the time it needs to end by itself.
      const plugin = yield* Scope.provide(start(fixture("lifecycle"), { shutdownLimit: "60 seconds" }), scope)
      const { pid } = plugin.process
      assert.isTrue(isAlive(pid))
      assert.strictEqual(SubscriptionRef.getUnsafe(plugin.state).name, "Running")
      assert.strictEqual(socketFolders().length, before.length + 1)
      assert.deepStrictEqual([...plugin.client.implemented].sort(), [
        "messageHasBeenPosted",
        "messageWillBePosted",
        "onActivate",
        "onConfigurationChange",
        "onDeactivate",
      ])
      const order = () => log.messages().filter((message) => message.startsWith("On"))
      // What a plugin logs comes by another way than what it answers.
      yield* eventually("both have been logged", () => order().length === 2)
      assert.deepStrictEqual(order(), ["OnConfigurationChange", "OnActivate"])

      yield* Scope.close(scope, Exit.void)
      const ended = yield* plugin.process.exit
      assert.deepStrictEqual(ended, { code: 0, signal: null }, "a plugin of the SDK ends when it is asked to")
      assert.isTrue(log.messages().includes("OnDeactivate"))
      assert.isFalse(isAlive(pid))
      assert.deepStrictEqual(socketFolders(), before)
      assert.strictEqual(SubscriptionRef.getUnsafe(plugin.state).name, "NotRunning")
    }).pipe(Effect.provide(host()), Effect.provide(log.layer))
  })

  it.live("stray prints break nothing, and prints and logs arrive at their level", () => {
    const log = recordLog()
    return Effect.gen(function* () {
      const plugin = yield* start(fixture("lifecycle"))
      yield* plugin.hooks.messageHasBeenPosted({ post: { id: "p1", message: "hi" } })
      const find = (message: string) => log.entries.find((entry) => entry.message === message)
      yield* eventually("the last line has come", () => find("error\nin two lines") !== undefined)
      assert.strictEqual(find("printed while active")?.level, "Info")
      assert.isUndefined(find("debug"), "the default level is INFO")
      assert.strictEqual(find("info")?.level, "Info")
      assert.strictEqual(find("warning hi")?.level, "Warn")
      assert.deepStrictEqual(find("warning hi")?.fields["post"], { id: "p1" })
      assert.strictEqual(find("warning hi")?.fields["plugin_id"], "lifecycle")
      assert.strictEqual(find("error\nin two lines")?.level, "Error")
    }).pipe(Effect.scoped, Effect.provide(host()), Effect.provide(log.layer))
  })

  it.live("gets no variable of the host that nobody allowed", () => {
    const log = recordLog()
    process.env["SECRET_OF_THE_HOST"] = "x"
    process.env["PLUGIN_CLIENT_CERT"] = "x"
    return Effect.gen(function* () {
      yield* start(fixture("lifecycle"), { variables: { OWN: "1" } })
      const activated = () => log.entries.find(({ message }) => message === "OnActivate")
      yield* eventually("the environment has been logged", () => activated() !== undefined)
      const names = activated()?.fields["environment"] as ReadonlyArray<string>
      assert.include(names, "OWN")
      assert.include(names, "MATTERMOST_PLUGIN_API_TARGET")
      assert.notInclude(names, "SECRET_OF_THE_HOST")
      assert.notInclude(names, "PLUGIN_CLIENT_CERT")
    }).pipe(
      Effect.scoped,
      Effect.provide(host()),
      Effect.provide(log.layer),
      Effect.ensuring(
        Effect.sync(() => {
          delete process.env["SECRET_OF_THE_HOST"]
          delete process.env["PLUGIN_CLIENT_CERT"]
        }),
      ),
    )
  })

  it.live("a failing OnActivate fails the start and leaves no process", () =>
    Effect.gen(function* () {
      const bundle = yield* (yield* PluginBundles).load(fixture("lifecycle"))
      const before = socketFolders()
      const { start, state } = yield* (yield* MattermostPlugins.Supervisor).supervise(bundle, mode("fail"))
      const error = yield* Effect.flip(start)
      assert.strictEqual(error._tag, "HookPluginError")
      assert.include(error.message, "no license")
      assert.deepStrictEqual(socketFolders(), before, "although the Scope is still open")
      const { error: stored, name } = SubscriptionRef.getUnsafe(state)
      assert.strictEqual(name, "FailedToStart")
      assert.include(stored ?? "", "no license")
    }).pipe(Effect.scoped, Effect.provide(host())),
  )

  it.live("a plugin that dies in OnActivate has not started", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(start(fixture("lifecycle"), mode("die")))
      assert.strictEqual(error._tag, "PluginExitedError")
      assert.include(error.message, "exit code 3")
      assert.include(error.message, "OnActivate did not reach the plugin")
    }).pipe(Effect.scoped, Effect.provide(host())),
  )

  it.live("transport, deadline and plugin errors differ, and none tells the exception's text", () =>
    Effect.gen(function* () {
      const { hooks, state } = yield* start(fixture("lifecycle"), {
        // What answers does so in less.
        hooks: { policies: { messageWillBePosted: { deadline: "5 seconds" } } },
      })
      const post = (message: string) => Effect.flip(hooks.messageWillBePosted({ post: { message } }))
      const late = yield* post("sleep 600")
      assert.strictEqual(late._tag, "HookDeadlineError")
      const raised = yield* post("raise")
      assert.strictEqual(raised._tag, "HookPluginError")
      assert.notInclude(raised.message, "42")
      assert.include(raised.message, "ValueError")
      const wrong = yield* post("wrong")
      assert.strictEqual(wrong._tag, "HookPluginError")
      assert.include(wrong.message, "a Post")
      const absent = yield* Effect.flip(hooks.userWillLogIn({}))
      assert.strictEqual(absent._tag, "HookNotImplementedError")
      const dead = yield* post("die")
      assert.strictEqual(dead._tag, "HookTransportError")
      const failed = yield* SubscriptionRef.changes(state).pipe(
        Stream.filter(({ name }) => name === "FailedToStayRunning"),
        Stream.runHead,
        Effect.timeout("60 seconds"),
      )
      assert.include(Option.getOrThrow(failed).error ?? "", "exit code 7")
    }).pipe(Effect.scoped, Effect.provide(host())),
  )

  it.live("handlers that wait starve neither the health check nor each other", () =>
    Effect.gen(function* () {
      const { hooks, ping } = yield* start(fixture("lifecycle"))
      // Each waits until 24 of them run at once.
      const wait = hooks.messageWillBePosted({ post: { message: "meet" } })
      const waiting = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 23 }), () => wait, { concurrency: "unbounded" }),
      )
      yield* ping
      yield* wait
      yield* Fiber.join(waiting)
    }).pipe(Effect.scoped, Effect.provide(host())),
  )

  it.live("may ask its host more at once than that takes", () => {
    const enough = Deferred.makeUnsafe<void>()
    let asked = 0
    // It answers none before all are there that it takes.
    const getServerVersion = () =>
      Effect.suspend(() => {
        if (++asked === MAX_CONCURRENT_STREAMS) Deferred.doneUnsafe(enough, Effect.void)
        return Effect.as(Deferred.await(enough), { version: "1.0.0" })
      })
    return Effect.gen(function* () {
      const { hooks } = yield* start(fixture("lifecycle"), { hooks: { deadline: "60 seconds" } })
      const times = MAX_CONCURRENT_STREAMS + 200
      const { rejectionReason } = yield* hooks.messageWillBePosted({ post: { message: `ask ${times}` } })
      assert.strictEqual(rejectionReason, `${times} answers`)
    }).pipe(Effect.scoped, Effect.provide(host({ getServerVersion })))
  })

  it.live("an OnDeactivate that lingers is not waited for longer than its limit", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const options = { ...mode("linger"), deactivateLimit: "300 millis" } as const
      const plugin = yield* Scope.provide(start(fixture("lifecycle"), options), scope)
      // The handler would take ten minutes.
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(isAlive(plugin.process.pid))
    }).pipe(Effect.provide(host())),
  )

  it.live("children and daemons of the plugin go with it", () => {
    const log = recordLog()
    return Effect.gen(function* () {
      const scope = yield* Scope.make()
      const plugin = yield* Scope.provide(start(fixture("lifecycle"), mode("child")), scope)
      const logged = () => log.entries.find(({ message }) => message === "children")
      yield* eventually("the children have been logged", () => logged() !== undefined)
      const children = logged()?.fields ?? {}
      const pids = [plugin.process.pid, Number(children["child"]), Number(children["daemon"])]
      assert.isTrue(pids.every(isAlive))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(pids.filter(isAlive), [])
    }).pipe(Effect.provide(host()), Effect.provide(log.layer))
  })

  it.live("whatever a plugin that crashes had is let go at once, although its Scope is still open", () => {
    const log = recordLog()
    return Effect.gen(function* () {
      const plugin = yield* start(fixture("lifecycle"), mode("child"))
      const logged = () => log.entries.find(({ message }) => message === "children")
      yield* eventually("the children have been logged", () => logged() !== undefined)
      const children = [Number(logged()?.fields["child"]), Number(logged()?.fields["daemon"])]
      assert.isTrue(children.every(isAlive))
      assert.lengthOf(socketFolders(), 1)
      process.kill(plugin.process.pid, "SIGKILL")
      assert.deepStrictEqual(yield* plugin.ended, { _tag: "Exited", exit: { code: null, signal: "SIGKILL" } })
      assert.deepStrictEqual(children.filter(isAlive), [])
      assert.deepStrictEqual(socketFolders(), [])
      assert.strictEqual(SubscriptionRef.getUnsafe(plugin.state).name, "FailedToStayRunning")
      // One that is dead is asked nothing any more.
      assert.isFalse(log.messages().some((message) => message.includes("OnDeactivate")))
    }).pipe(Effect.scoped, Effect.provide(host()), Effect.provide(log.layer))
  })

  it.live(
    "a host API whose socket somebody has removed is there again; a plugin is stopped where that can't be",
    () => {
      const log = recordLog()
      return Effect.gen(function* () {
        const plugin = yield* start(fixture("lifecycle"))
        const folder = join(tmpdir(), socketFolders()[0]!)
        const socket = join(folder, "api.sock")
        for (const path of [socket, folder]) {
          rmSync(path, { recursive: true })
          yield* eventually("it is there again", () => existsSync(socket))
          const stranger = yield* GrpcClient.make(`unix:${socket}`)
          // It has no token, which is for a server to say.
          const refused = yield* Effect.flip(stranger.unary(PluginAPI.method.getServerVersion, {}))
          assert.strictEqual(refused.status, "UNAUTHENTICATED")
        }
        assert.strictEqual(
          log.messages().filter((message) => message.includes("is made again; keep sockets")).length,
          2,
        )
        rmSync(folder, { recursive: true })
        writeFileSync(folder, "somebody else's")
        yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { force: true })))
        const end = yield* Effect.timeout(plugin.ended, "60 seconds")
        assert.strictEqual(end._tag, "Lost")
        assert.isFalse(isAlive(plugin.process.pid))
        assert.isTrue(log.messages().includes("OnDeactivate"), "it is asked all the same")
        const { error = "", name } = SubscriptionRef.getUnsafe(plugin.state)
        assert.strictEqual(name, "FailedToStayRunning")
        assert.match(error, /somebody has removed .*can't be made again .*--runtime-directory/)
      }).pipe(Effect.scoped, Effect.provide(host()), Effect.provide(log.layer))
    },
  )

  it.live("interrupting a start leaves nothing", () =>
    Effect.gen(function* () {
      const before = socketFolders()
      const fiber = yield* Effect.forkChild(Effect.scoped(start(fixture("lifecycle"))))
      yield* eventually("the start has begun", () => socketFolders().length > before.length)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(socketFolders(), before)
    }).pipe(Effect.provide(host())),
  )

  it.live("hello-python vetoes, rewrites and is part of the dispatch while it is active", () =>
    Effect.gen(function* () {
      const dispatcher = yield* MattermostPlugins
      const post = (message: string) =>
        Effect.map(
          dispatcher.decide("messageWillBePosted", { post: create(PostSchema, { message }) }),
          ({ post }) => post,
        )
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* start(join(examples, "hello-python"))
          const vetoed = yield* Effect.flip(post("this is Forbidden"))
          assert.include(vetoed.reason, "not allowed")
          const changed = yield* post("hi :wave:")
          assert.strictEqual(changed.message, "hi 👋")
        }),
      )
      const after = yield* post("this is Forbidden")
      assert.strictEqual(after.message, "this is Forbidden")
    }).pipe(Effect.provide(host({ getServerVersion: () => Effect.succeed({ version: "1.0.0" }) }))),
  )
})
