/** Plugins that die, hang or lie while they are active, and when they are stopped. */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { serveHttp } from "../../src/hooks/ServeHttp.ts"
import type { SupervisorOptions } from "../../src/supervisor/SupervisorOptions.ts"
import type { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../../src/workspace/Workspace.ts"
import { eventually } from "../support/host.ts"
import { brief, type Bundle, bounded, type FaultName, type Kind, kinds, peer, python } from "./support.ts"

/** The run ends by itself: its state tells how, and it can be started again. */
const ended = ({ start, state, logged }: Parameters<Kind["outcome"]>[0], how: RegExp) =>
  Effect.gen(function* () {
    yield* eventually("its end is seen", () => state().name === "FailedToStayRunning")
    assert.match(state().error ?? "", how)
    yield* logged(how)
    yield* start
    assert.strictEqual(state().name, "Running")
  })

/** It is seen to do nothing, ended, and started again by its host. */
const restarted = (fault: FaultName): Kind => ({
  bundle: peer(fault),
  options: {
    ...brief,
    health: { interval: "300 millis", deadline: "1 second", misses: 3 },
    restart: { delay: "10 millis" },
  },
  outcome: ({ logged, start, state }) =>
    Effect.gen(function* () {
      const { ended, hooks } = yield* start
      yield* Effect.forkChild(Effect.exit(hooks.messageWillBePosted({})))
      assert.strictEqual((yield* bounded("its end", ended))._tag, "Unresponsive")
      yield* logged(/hostile was stopped, since it has not answered 3 health checks in a row/)
      yield* logged(/hostile is started again in/)
      yield* eventually("it runs again", () => state().name === "Running")
    }),
})

const LATE = /hostile: OnDeactivate did not (?:end in time and is not waited for|answer within 300 ms)/

const command = { hooks: { policies: { executeCommand: { deadline: "3 seconds" } } } } as const

/** The host's handler of a call is interrupted when the plugin that called is gone. */
const atWork = (): Kind => {
  let [isCalled, isInterrupted] = [false, false]
  const getDiagnosticId = () =>
    Effect.sync(() => (isCalled = true)).pipe(
      Effect.andThen(Effect.never),
      Effect.onInterrupt(() => Effect.sync(() => (isInterrupted = true))),
    )
  return {
    bundle: peer("asks its host back, and waits"),
    methods: { getDiagnosticId },
    outcome: (situation) =>
      Effect.gen(function* () {
        const { hooks, process: running } = yield* situation.start
        yield* Effect.forkChild(Effect.exit(hooks.executeCommand({})))
        yield* eventually("it has called", () => isCalled)
        process.kill(running.pid, "SIGKILL")
        yield* eventually("the handler is interrupted", () => isInterrupted)
        yield* ended(situation, /signal SIGKILL/)
      }),
  }
}

kinds("a plugin that is active and", {
  "is stopped by a signal": restarted("is stopped when it is asked"),
  deadlocks: restarted("deadlocks when it is asked"),
  "exits in a hook": {
    bundle: peer("exits at a command"),
    outcome: (situation) =>
      Effect.gen(function* () {
        const { hooks } = yield* situation.start
        const error = yield* Effect.flip(hooks.executeCommand({}))
        assert.strictEqual(error._tag, "HookTransportError")
        yield* ended(situation, /hostile ended unexpectedly \(exit code 7\)/)
      }),
  },
  "is killed while nobody asks anything of it": {
    bundle: peer("well"),
    outcome: (situation) =>
      Effect.gen(function* () {
        const { process: running } = yield* situation.start
        process.kill(running.pid, "SIGKILL")
        yield* ended(situation, /hostile ended unexpectedly \(signal SIGKILL\)/)
      }),
  },
  "dies while its host is at work for it": atWork(),
  "dies while events wait for it": {
    bundle: peer("never takes an event"),
    outcome: (situation) =>
      Effect.gen(function* () {
        const { process: running } = yield* situation.start
        const { notify } = yield* MattermostPlugins
        yield* Effect.repeat(notify("messageHasBeenPosted", {}), { times: 9 })
        process.kill(running.pid, "SIGKILL")
        yield* ended(situation, /signal SIGKILL/)
        yield* situation.logged(/hostile: \d+ events are lost, since it has ended/)
      }),
  },
  "dies and leaves a child that holds its pipes": {
    bundle: peer("leaves a child that holds its pipes"),
    outcome: (situation) =>
      Effect.gen(function* () {
        const { ended: isEnded, hooks } = yield* situation.start
        yield* Effect.flip(hooks.executeCommand({}))
        yield* bounded("its end", isEnded)
        yield* ended(situation, /exit code 7/)
      }),
  },
  "is busy for ever": {
    bundle: peer("is busy for ever"),
    options: { ...brief, ...command },
    outcome: ({ start, state, stop }) =>
      Effect.gen(function* () {
        const { hooks } = yield* start
        const error = yield* Effect.flip(hooks.executeCommand({}))
        assert.strictEqual(error._tag, "HookDeadlineError")
        yield* stop
        assert.strictEqual(state().name, "NotRunning")
      }),
  },
  "is stopped by SIGSTOP": {
    bundle: peer("well"),
    options: { ...brief, ...command },
    outcome: ({ logged, start, stop }) =>
      Effect.gen(function* () {
        const { hooks, process: running } = yield* start
        process.kill(running.pid, "SIGSTOP")
        const error = yield* Effect.flip(hooks.executeCommand({}))
        assert.strictEqual(error._tag, "HookDeadlineError")
        yield* stop
        yield* logged(LATE)
      }),
  },
  ...Object.fromEntries(
    (["200", "99", "-1"] as const).map((status): [string, Kind] => [
      `fails with status ${status}`,
      {
        bundle: peer(`fails with status ${status}`),
        outcome: ({ start }) =>
          Effect.gen(function* () {
            const { hooks } = yield* start
            const error = yield* Effect.flip(hooks.executeCommand({}))
            assert.deepInclude(error, { _tag: "HookPluginError", statusCode: 500, isAnswer: true })
          }),
      },
    ]),
  ),
})

/** A plugin that is stopped and does what it should not: it is gone all the same, and the log may say something of it. */
const stops = (bundle: Bundle, logged?: RegExp, options: SupervisorOptions<MattermostContract> = brief): Kind => ({
  bundle,
  options,
  outcome: (situation) =>
    Effect.gen(function* () {
      const { ended } = yield* situation.start
      yield* situation.stop
      assert.deepStrictEqual(yield* ended, { _tag: "Stopped" })
      assert.strictEqual(situation.state().name, "NotRunning")
      if (logged !== undefined) yield* situation.logged(logged)
    }),
})

kinds("a plugin that is stopped and", {
  "exits in OnDeactivate": stops(peer("exits in OnDeactivate")),
  "is killed in OnDeactivate": stops(peer("is killed in OnDeactivate")),
  "never ends OnDeactivate": stops(peer("never ends OnDeactivate"), LATE),
  "fails in OnDeactivate": stops(peer("fails in OnDeactivate"), /hostile: OnDeactivate failed .*out of luck/),
  "never answers Shutdown": stops(peer("never answers Shutdown")),
  "answers Shutdown and goes on": stops(peer("answers Shutdown and goes on")),
  "does not know Shutdown": stops(peer("does not know Shutdown")),
  "ignores SIGTERM": stops(
    peer("ignores SIGTERM"),
    /hostile did not end within its wait delay after SIGTERM; its process group is killed/,
  ),
  "ends on SIGTERM with a code": stops(peer("ends on SIGTERM with a code"), undefined, {
    ...brief,
    waitDelay: "60 seconds",
  }),
  "does not end what it is at work on": {
    bundle: peer("never answers"),
    options: brief,
    outcome: ({ start, stop }) =>
      Effect.gen(function* () {
        const { client, hooks } = yield* start
        const asking = yield* Effect.forkChild(Effect.flip(hooks.messageWillBePosted({})))
        yield* eventually("it is asked", () => client.inFlight.count() === 1)
        yield* stop
        const error = yield* bounded("the call's end", Fiber.join(asking))
        assert.strictEqual(error._tag, "HookTransportError")
      }),
  },
})

/** What comes of a request: an error in place of a head, or the error that cuts the body off. */
const served = (fault: FaultName, tag: string, words: RegExp, isHeadSent = false): Kind => ({
  bundle: peer(fault),
  options: brief,
  outcome: ({ start, stop }) =>
    Effect.gen(function* () {
      const { client } = yield* start
      const body = Stream.forever(Stream.make(new Uint8Array(65_536)))
      const request = { init: { method: "POST", url: "/" }, body: fault.includes("upload") ? body : Stream.empty }
      const deadline = tag === "HookDeadlineError" ? "2 seconds" : "60 seconds"
      yield* Effect.scoped(
        Effect.gen(function* () {
          const answer = yield* bounded("the answer's head", Effect.result(serveHttp(client, request, deadline)))
          assert.strictEqual(answer._tag, isHeadSent ? "Success" : "Failure")
          const error =
            answer._tag === "Failure"
              ? answer.failure
              : // What has no end goes on until the plugin is stopped.
                (yield* Effect.all(
                  [Effect.flip(Stream.runDrain(answer.success.body)), fault.includes("never") ? stop : Effect.void],
                  { concurrency: 2 },
                ))[0]
          assert.strictEqual(error._tag, tag, error.message)
          assert.match(error.message, words)
          assert.match(error.message, /plugin hostile: ServeHTTP/)
        }),
      )
    }),
})

kinds("a plugin that is sent a request and", {
  "exits before the head": served("exits before the head of a response", "HookTransportError", /UNAVAILABLE/),
  "exits after the head": served("exits after the head of a response", "HookTransportError", /UNAVAILABLE/, true),
  "never answers": served("never answers a request", "HookDeadlineError", /did not answer within 2000 ms/),
  "never ends its answer": served("never ends a response", "HookTransportError", /UNAVAILABLE|CANCELLED/, true),
  "never reads the upload": served("never reads an upload", "HookDeadlineError", /did not answer within 2000 ms/),
  "answers garbage": served("answers a request with garbage", "HookPluginError", /INTERNAL|parsing error/),
  "answers no head": served("answers a request with no head", "HookPluginError", /no head of a response/),
  "answers two heads": served("answers a request with two heads", "HookPluginError", /a second head/, true),
  "answers with status 99": served("answers a request with status 99", "HookPluginError", /status 99/),
  "fails in the middle": served("fails in the middle of a response", "HookPluginError", /out of luck/, true),
})

/** A Python plugin that hangs in a hook in a way of its own, asked by many at once. */
const stuck = (handler: string): Kind => ({
  bundle: python(`
import asyncio, time
from mattermost_plugin import HookName, Plugin, hook, run_plugin

class Hostile(Plugin):
    @hook(HookName.ExecuteCommand)
    ${handler}

    @hook(HookName.OnDeactivate)
    def deactivate(self):
        pass

run_plugin(Hostile)
`),
  options: { ...brief, ...command },
  outcome: ({ start, state, stop }) =>
    Effect.gen(function* () {
      const { hooks } = yield* start
      const errors = yield* Effect.forEach(Array(100), () => Effect.flip(hooks.executeCommand({})), {
        concurrency: "unbounded",
      })
      for (const error of errors) assert.strictEqual(error._tag, "HookDeadlineError")
      yield* stop
      assert.strictEqual(state().name, "NotRunning")
    }),
})

kinds("a Python plugin that", {
  "has all its threads stuck": stuck("def command(self, ctx, args):\n        time.sleep(600)"),
  "is in a busy loop": stuck("def command(self, ctx, args):\n        while True: pass"),
  "blocks its event loop": stuck("async def command(self, ctx, args):\n        time.sleep(600)"),
  "awaits for ever": stuck("async def command(self, ctx, args):\n        await asyncio.sleep(600)"),
})

/** A plugin with an async command that is in the way of all async code, and a sync hook that is asked meanwhile. */
const inTheWay = (command: string) =>
  python(`
import threading
from mattermost_plugin import HookName, Plugin, hook, run_plugin
from mattermost_plugin.types import CommandResponse, Post

class Hostile(Plugin):
    go_on = threading.Event()

    @hook(HookName.ExecuteCommand)
    async def command(self, ctx, args):
        return CommandResponse(text=str(${command}))

    @hook(HookName.MessageWillBePosted)
    def check(self, ctx, post):
        threading.Thread(target=self.logger.info, args=["asked about %s", post.message]).start()
        if post.message == "go on":
            self.go_on.set()
        post.message += " (seen)"
        return post

run_plugin(Hostile)
`)

const asked = (message: string) => ({ post: { message } })

kinds("a Python plugin whose async handler blocks", {
  "is answered and asked all the same": {
    bundle: inTheWay("self.go_on.wait()"),
    options: { ...brief, hooks: { policies: { executeCommand: { deadline: "10 minutes" } } } },
    outcome: ({ logged, start }) =>
      Effect.gen(function* () {
        const { client, hooks, ping } = yield* start
        const blocked = yield* Effect.forkChild(hooks.executeCommand({}))
        yield* eventually("it is asked", () => client.inFlight.count() === 1)
        yield* ping
        assert.strictEqual((yield* hooks.messageWillBePosted(asked("x"))).modifiedPost?.message, "x (seen)")
        yield* logged(/asked about x/)
        assert.isUndefined(blocked.pollUnsafe())
        yield* hooks.messageWillBePosted(asked("go on"))
        assert.strictEqual((yield* bounded("its answer", Fiber.join(blocked))).response?.text, "True")
      }),
  },
  "ends when it is asked to": {
    bundle: inTheWay('self.logger.info("begun") or self.go_on.wait()'),
    options: { ...brief, shutdownLimit: "60 seconds", waitDelay: "60 seconds" },
    outcome: ({ logged, messages, start, stop }) =>
      Effect.gen(function* () {
        const { ended, hooks } = yield* start
        yield* Effect.forkChild(Effect.exit(hooks.executeCommand({})))
        yield* logged(/begun/)
        yield* stop
        assert.deepStrictEqual(yield* ended, { _tag: "Stopped" })
        yield* logged(/the plugin ends while something blocks its event loop/)
        assert.isEmpty(messages().filter((message) => /did not end/.test(message)))
      }),
  },
  "may be asked about what it posts": {
    bundle: inTheWay(
      'self.api.create_post(Post(user_id=args.user_id, channel_id=args.channel_id, message="x")).message',
    ),
    options: { hooks: { policies: { executeCommand: { deadline: "10 minutes" } } } },
    outcome: ({ start }) =>
      Effect.gen(function* () {
        const { hooks } = yield* start
        const { channels, me, teams } = yield* Workspace
        const { id: userId } = yield* me
        const { id: channelId } = yield* channels.getByName((yield* teams.getByName(TEAM_NAME)).id, CHANNEL_NAME)
        const answer = yield* bounded("its answer", hooks.executeCommand({ args: { userId, channelId } }))
        assert.strictEqual(answer.response?.text, "x (seen)")
      }),
  },
})
