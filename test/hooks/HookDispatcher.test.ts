/** The rules for many plugins, on hooks that answer in this process; real plugins are in test/integration. */
import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, type Duration, Effect, Exit, Fiber, Metric, Option, Scope } from "effect"
import { TestClock } from "effect/testing"
import { EmailNotificationContentSchema } from "../../src/generated/mattermost/pluginapi/v1/hooks_message_pb.js"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { BREAKER_FAILURES } from "../../src/hooks/CircuitBreaker.ts"
import {
  HookDeadlineError,
  HookNotImplementedError,
  HookPluginError,
  HookTransportError,
} from "../../src/hooks/HookError.ts"
import type { HooksOptions } from "../../src/hooks/HookPolicy.ts"
import { NotificationLimits } from "../../src/hooks/NotificationQueue.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { DISMISS_POST_REASON, isDismissal } from "../../src/mattermost/Dismissal.ts"
import { type HookHandlers, testClient } from "../../src/hooks/Hooks.ts"
import { recordLog } from "../support/log.ts"

const register = (
  pluginId: string,
  handlers: HookHandlers<MattermostContract>,
  options?: HooksOptions<MattermostContract>,
) =>
  Effect.flatMap(MattermostPlugins, ({ active }) =>
    active.register(testClient(MattermostContract, undefined as never, pluginId, handlers, options)),
  )

const late = (pluginId: string) =>
  Effect.fail(new HookDeadlineError({ pluginId, hook: "MessageWillBePosted", deadlineMillis: 1 }))

const crash = (isAnswer: boolean, reason = "no such configuration") =>
  Effect.fail(new HookPluginError({ pluginId: "p", hook: "H", id: "an.id", reason, statusCode: 500, isAnswer }))

const post = (message: string) => ({ post: create(PostSchema, { id: "1", message, metadata: {} }) })

const test = <E>(name: string, effect: Effect.Effect<unknown, E, MattermostPlugins | Scope.Scope>) =>
  it.effect(name, () => effect.pipe(Effect.scoped, Effect.provide(MattermostPlugins.layer)))

/** Lets what runs in the background run. */
const settle = Effect.repeat(Effect.yieldNow, { times: 50 })

describe("HookDispatcher.decide", () => {
  test(
    "asks in the order of the ids, each about what the one before made of it, with every field kept",
    Effect.gen(function* () {
      const append = (text: string): HookHandlers<MattermostContract> => ({
        messageWillBePosted: ({ post }) =>
          Effect.succeed({ modifiedPost: { ...post!, message: `${post!.message}${text}` } }),
      })
      yield* register("c", append("c"))
      yield* register("a", append("a"))
      yield* register("no-opinion", { messageWillBePosted: () => Effect.succeed({}) })
      yield* register("b", append("b"))
      yield* register("without the hook", { userHasBeenCreated: () => Effect.succeed({}) })
      const { decide } = yield* MattermostPlugins
      const decided = yield* decide("messageWillBePosted", post(""))
      assert.strictEqual(decided.post.message, "abc")
      assert.strictEqual(decided.post.id, "1")
      assert.isDefined(decided.post.metadata)
    }),
  )

  test(
    "stops at the first refusal, and tells a dismissal",
    Effect.gen(function* () {
      let asked = 0
      yield* register("a", {
        messageWillBePosted: ({ post }) =>
          Effect.succeed({ rejectionReason: post!.message === "noise" ? DISMISS_POST_REASON : "no" }),
      })
      yield* register("b", { messageWillBePosted: () => Effect.sync(() => (asked++, {})) })
      const { decide } = yield* MattermostPlugins
      const refused = yield* Effect.flip(decide("messageWillBePosted", post("x")))
      assert.deepInclude(refused, { pluginId: "a", hook: "MessageWillBePosted", reason: "no", isFailure: false })
      assert.strictEqual(refused.message, "Post rejected by plugin. no")
      assert.isFalse(isDismissal(refused))
      assert.isTrue(isDismissal(yield* Effect.flip(decide("messageWillBePosted", post("noise")))))
      assert.strictEqual(asked, 0)
    }),
  )

  test(
    "passes over a plugin that fails, or refuses where its operator says so; either way it is logged",
    Effect.gen(function* () {
      const log = recordLog()
      const failing: HookHandlers<MattermostContract> = {
        messageWillBePosted: () => crash(false),
        userWillLogIn: () => late("b"),
      }
      yield* register("a", failing)
      yield* register("b", failing, { policies: { userWillLogIn: { onFailure: "refuse" } } })
      const { decide } = yield* MattermostPlugins
      yield* Effect.gen(function* () {
        assert.strictEqual((yield* decide("messageWillBePosted", post("kept"))).post.message, "kept")
        const refused = yield* Effect.flip(decide("userWillLogIn", {}))
        assert.deepInclude(refused, { pluginId: "b", isFailure: true })
      }).pipe(Effect.provide(log.layer))
      assert.lengthOf(
        log.entries.filter(({ level }) => level === "Error"),
        4,
      )
    }),
  )

  test(
    "refuses for a plugin that has to agree and is not there: it has not been started, or has died",
    Effect.gen(function* () {
      const log = recordLog()
      const { decide, require } = yield* MattermostPlugins
      const refusing: HooksOptions<MattermostContract> = { policies: { messageWillBePosted: { onFailure: "refuse" } } }
      let asked = ""
      const agree: HookHandlers<MattermostContract> = {
        messageWillBePosted: () => Effect.sync(() => ((asked += "c"), {})),
      }
      yield* register("c", agree)
      const requirement = yield* Scope.make()
      yield* Scope.provide(require("b", refusing), requirement)
      yield* require("a", { policies: { userWillLogIn: { onFailure: "refuse" } } })

      const refused = Effect.flip(decide("messageWillBePosted", post("x")))
      const error = yield* Effect.provide(refused, log.layer)
      assert.deepInclude(error, { pluginId: "b", isFailure: true })
      assert.include(log.messages()[0], "plugin b: MessageWillBePosted did not reach the plugin")
      assert.strictEqual(asked, "", "b is asked before c, and that it can't be ends it")

      const life = yield* Scope.make()
      yield* Scope.provide(register("b", agree, refusing), life)
      yield* decide("messageWillBePosted", post("x"))
      assert.strictEqual(asked, "cc")
      yield* Scope.close(life, Exit.void)
      yield* refused
      yield* Scope.close(requirement, Exit.void)
      yield* decide("messageWillBePosted", post("x"))
    }),
  )

  test(
    "warns of a plugin that has to agree and does not have the hook, which then is no refusal",
    Effect.gen(function* () {
      const log = recordLog()
      const refusing: HooksOptions<MattermostContract> = { policies: { messageWillBePosted: { onFailure: "refuse" } } }
      yield* Effect.provide(register("a", {}, refusing), log.layer)
      assert.deepStrictEqual(log.messages(), ["plugin a has to agree in MessageWillBePosted and does not implement it"])
      const { decide } = yield* MattermostPlugins
      assert.strictEqual((yield* decide("messageWillBePosted", post("kept"))).post.message, "kept")
    }),
  )

  test(
    "takes an error that is answered for a refusal, not a failure: ConfigurationWillBeSaved has no other",
    Effect.gen(function* () {
      yield* register("a", {
        configurationWillBeSaved: ({ newConfig }) =>
          Effect.succeed({ modifiedConfig: { configJson: Buffer.concat([newConfig!.configJson, Buffer.from("a")]) } }),
      })
      const { decide } = yield* MattermostPlugins
      const save = decide("configurationWillBeSaved", { newConfig: { configJson: Buffer.from("{}") } })
      assert.strictEqual(Buffer.from((yield* save).newConfig.configJson).toString(), "{}a")
      yield* register("b", { configurationWillBeSaved: () => crash(true) })
      assert.strictEqual((yield* Effect.flip(save)).reason, "no such configuration")
    }),
  )

  test(
    "knows what each hook may change",
    Effect.gen(function* () {
      yield* register("a", {
        messageWillBeUpdated: ({ newPost, oldPost }) =>
          Effect.succeed({ modifiedPost: { ...newPost!, message: `${oldPost!.message}>${newPost!.message}` } }),
        fileWillBeUploaded: ({ fileContent, fileInfo }) =>
          Effect.succeed(
            fileInfo!.name === "shout"
              ? { modifiedContent: Buffer.from(Buffer.from(fileContent).toString().toUpperCase()) }
              : { modifiedFileInfo: { ...fileInfo!, name: "renamed" } },
          ),
        messagesWillBeConsumed: ({ posts }) =>
          Effect.succeed({ posts: [{ ...posts[1]!, message: "rewritten" }, create(PostSchema, { id: "unknown" })] }),
        notificationWillBePushed: ({ pushNotification }) =>
          Effect.succeed({ modifiedNotification: { ...pushNotification!, message: "pushed" } }),
        emailNotificationWillBeSent: () => Effect.succeed({ modifiedContent: { subject: "new", messageHtml: "<b>" } }),
      })
      const { decide } = yield* MattermostPlugins
      const updated = yield* decide("messageWillBeUpdated", {
        newPost: create(PostSchema, { message: "n" }),
        oldPost: create(PostSchema, { message: "o" }),
      })
      assert.deepStrictEqual([updated.newPost.message, updated.oldPost.message], ["o>n", "o"])

      const file = (name: string) =>
        decide("fileWillBeUploaded", { fileInfo: { name }, fileContent: Buffer.from("quiet") })
      const [shouted, renamed] = [yield* file("shout"), yield* file("other")]
      assert.deepStrictEqual([shouted.fileInfo.name, Buffer.from(shouted.fileContent).toString()], ["shout", "QUIET"])
      assert.deepStrictEqual([renamed.fileInfo.name, Buffer.from(renamed.fileContent).toString()], ["renamed", "quiet"])
      assert.deepStrictEqual([shouted.fileInfo.size, renamed.fileInfo.size], [5n, 5n])

      const consumed = yield* decide("messagesWillBeConsumed", {
        posts: [post("first").post, { id: "2", message: "second" }],
      })
      assert.deepStrictEqual(
        consumed.posts.map(({ message }) => message),
        ["first", "rewritten"],
      )

      const pushed = yield* decide("notificationWillBePushed", { pushNotification: { message: "m" }, userId: "u" })
      assert.deepStrictEqual([pushed.pushNotification.message, pushed.userId], ["pushed", "u"])

      const notificationJson = Buffer.from('{"subject":"old","message_html":"<i>","channel_id":"c"}')
      const sent = yield* decide("emailNotificationWillBeSent", { emailNotification: { notificationJson } })
      assert.deepStrictEqual(JSON.parse(Buffer.from(sent.emailNotification.notificationJson).toString()), {
        subject: "new",
        message_html: "<b>",
        channel_id: "c",
      })
      assert.lengthOf(EmailNotificationContentSchema.fields, 8)
    }),
  )

  test(
    "does not ask a plugin that keeps not answering, and tries it again later",
    Effect.gen(function* () {
      const log = recordLog()
      let asked = 0
      let isWell = false
      yield* register("slow", {
        messageWillBePosted: () => Effect.suspend(() => (asked++, isWell ? Effect.succeed({}) : late("slow"))),
      })
      const { decide } = yield* MattermostPlugins
      const ask = Effect.provide(decide("messageWillBePosted", post("x")), log.layer)
      yield* Effect.repeat(ask, { times: BREAKER_FAILURES + 3 })
      assert.strictEqual(asked, BREAKER_FAILURES)
      assert.isTrue(log.messages().some((message) => message.includes("it is not called for 30s")))
      yield* TestClock.adjust("29 seconds")
      yield* ask
      assert.strictEqual(asked, BREAKER_FAILURES)
      yield* TestClock.adjust("2 seconds")
      yield* ask
      yield* ask
      assert.strictEqual(asked, BREAKER_FAILURES + 1, "one call tries it, and it rests again")
      yield* TestClock.adjust("31 seconds")
      isWell = true
      yield* ask
      yield* ask
      assert.strictEqual(asked, BREAKER_FAILURES + 3)
    }),
  )

  test(
    "rests hook by hook, and says so once",
    Effect.gen(function* () {
      const log = recordLog()
      let asked = 0
      yield* register("half", {
        messageWillBePosted: () => Effect.suspend(() => (asked++, late("half"))),
        messageHasBeenPosted: () => Effect.succeed({}),
        userWillLogIn: () => Effect.succeed({ rejectionReason: "no" }),
      })
      const { decide, notify } = yield* MattermostPlugins
      const ask = Effect.provide(decide("messageWillBePosted", post("x")), log.layer)
      for (let count = 0; count < 10; count++) {
        yield* ask
        yield* notify("messageHasBeenPosted", post("x"))
        yield* settle
      }
      assert.strictEqual(asked, BREAKER_FAILURES, "another hook's answer says nothing of this one")
      assert.strictEqual((yield* Effect.flip(decide("userWillLogIn", {}))).reason, "no", "which is called all the same")
      yield* TestClock.adjust("31 seconds")
      yield* Effect.all(
        Array.from({ length: 20 }, () => ask),
        { concurrency: "unbounded" },
      )
      assert.strictEqual(asked, BREAKER_FAILURES + 1)
      assert.lengthOf(
        log.messages().filter((message) => message.includes("it is not called for 30s")),
        2,
      )
    }),
  )

  test(
    "counts callers that gave up after a while, and lets the next one try when one leaves at once",
    Effect.gen(function* () {
      let asked = 0
      let answer: Effect.Effect<{}> = Effect.never
      yield* register("silent", { messageWillBePosted: () => Effect.suspend(() => (asked++, answer)) })
      const { decide } = yield* MattermostPlugins
      const giveUp = (after: Duration.Input) =>
        Effect.gen(function* () {
          const asking = yield* Effect.forkChild(decide("messageWillBePosted", post("x")))
          yield* settle
          yield* TestClock.adjust(after)
          yield* Fiber.interrupt(asking)
        })
      for (let count = 0; count < 10; count++) yield* giveUp("1 second")
      assert.strictEqual(asked, 10, "who leaves early says nothing")
      for (let count = 0; count < 10; count++) yield* giveUp("6 seconds")
      assert.isBelow(asked, 20)
      const before = asked
      yield* TestClock.adjust("31 seconds")
      yield* giveUp("1 second")
      answer = Effect.succeed({})
      yield* decide("messageWillBePosted", post("x"))
      assert.strictEqual(asked, before + 2)
    }),
  )

  test(
    "takes an error that says that a handler has raised for a failure, and not for a refusal",
    Effect.gen(function* () {
      const raised = new HookPluginError({
        pluginId: "p",
        hook: "ConfigurationWillBeSaved",
        id: "plugin.configuration_will_be_saved.error",
        reason: "raised KeyError",
        statusCode: 500,
        isAnswer: true,
      })
      const handlers = {
        configurationWillBeSaved: () => Effect.fail(raised),
        onSAMLLogin: () => crash(true, "no entry"),
      }
      const { decide, require } = yield* MattermostPlugins
      // Only who has to agree by an operator's word is missed; here nobody has said so.
      yield* require("absent", {})
      yield* register("o", handlers, { policies: { configurationWillBeSaved: { onFailure: "allow" } } })
      yield* decide("configurationWillBeSaved", {})
      yield* register("p", handlers)
      const { isFailure, pluginId } = yield* Effect.flip(decide("configurationWillBeSaved", {}))
      assert.deepStrictEqual([pluginId, isFailure], ["p", true], "settings that nobody has checked are not saved")
      assert.strictEqual((yield* Effect.flip(decide("onSAMLLogin", {}))).reason, "no entry")
    }),
  )

  test(
    "does not ask who was stopped while others were asked, and refuses if that one had to agree",
    Effect.gen(function* () {
      const { decide } = yield* MattermostPlugins
      const scopes = [yield* Scope.make(), yield* Scope.make()] as const
      let asked = 0
      let stopping = scopes[0]
      yield* register("a", {
        messageWillBePosted: () =>
          Effect.as(
            Effect.suspend(() => Scope.close(stopping, Exit.void)),
            {},
          ),
      })
      const refuse: HooksOptions<MattermostContract> = { policies: { messageWillBePosted: { onFailure: "refuse" } } }
      const handlers: HookHandlers<MattermostContract> = { messageWillBePosted: () => Effect.sync(() => (asked++, {})) }
      yield* Scope.provide(register("b", handlers), scopes[0])
      yield* decide("messageWillBePosted", post("x"))
      stopping = scopes[1]
      yield* Scope.provide(register("c", handlers, refuse), scopes[1])
      const { isFailure, pluginId } = yield* Effect.flip(decide("messageWillBePosted", post("x")))
      assert.deepStrictEqual([pluginId, isFailure, asked], ["c", true, 0])
    }),
  )

  test(
    "takes no plugin for one that agrees that answers 'not implemented', where it has to agree",
    Effect.gen(function* () {
      const absent = {
        messageWillBePosted: () => Effect.fail(new HookNotImplementedError({ pluginId: "p", hook: "H" })),
      }
      yield* register("lenient", absent)
      const { decide } = yield* MattermostPlugins
      yield* decide("messageWillBePosted", post("x"))
      yield* register("strict", absent, { policies: { messageWillBePosted: { onFailure: "refuse" } } })
      const { isFailure, pluginId } = yield* Effect.flip(decide("messageWillBePosted", post("x")))
      assert.deepStrictEqual([pluginId, isFailure], ["strict", true])
    }),
  )

  test(
    "asks the later of two runs of a plugin, and the earlier one again when that ends",
    Effect.gen(function* () {
      const { decide } = yield* MattermostPlugins
      const asked: Array<string> = []
      const run = (name: string): HookHandlers<MattermostContract> => ({
        messageWillBePosted: () => Effect.sync(() => (asked.push(name), {})),
      })
      const scopes = [yield* Scope.make(), yield* Scope.make()] as const
      const ask = decide("messageWillBePosted", post("x"))
      const first = yield* Scope.provide(register("a", run("first")), scopes[0])
      const second = yield* Scope.provide(register("a", run("second")), scopes[1])
      assert.isAbove(second.generation, first.generation)
      yield* ask
      yield* Scope.close(scopes[1], Exit.void)
      yield* ask
      const third = yield* register("a", run("third"))
      yield* Scope.close(scopes[0], Exit.void)
      yield* ask
      assert.deepStrictEqual(asked, ["second", "first", "third"])
      // Whoever still holds a run that was withdrawn reaches the one that has taken its place.
      yield* first.ask("messageWillBePosted", {})
      assert.deepStrictEqual(asked.at(-1), "third")
      assert.isTrue(yield* third.withdraw("1 second"))
      yield* ask
      assert.lengthOf(asked, 4)
    }),
  )

  test(
    "waits for what a plugin that is withdrawn is at work on",
    Effect.gen(function* () {
      const { decide } = yield* MattermostPlugins
      const gate = yield* Deferred.make<void>()
      const { hooks, withdraw } = yield* register("a", {
        messageWillBePosted: () => Effect.as(Deferred.await(gate), { rejectionReason: "no" }),
      })
      const asking = yield* Effect.forkChild(Effect.flip(decide("messageWillBePosted", post("x"))))
      yield* settle
      assert.strictEqual(hooks.inFlight.count(), 1)
      const withdrawing = yield* Effect.forkChild(withdraw("5 seconds"))
      yield* settle
      assert.isUndefined(withdrawing.pollUnsafe())
      yield* decide("messageWillBePosted", post("y"))
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(asking)).reason, "no")
      assert.isTrue(yield* Fiber.join(withdrawing))
    }),
  )

  test(
    "takes a plugin's own errors for answers: they don't make it rest",
    Effect.gen(function* () {
      let asked = 0
      yield* register("failing", { messageWillBePosted: () => Effect.suspend(() => (asked++, crash(false))) })
      const { decide } = yield* MattermostPlugins
      yield* Effect.repeat(decide("messageWillBePosted", post("x")), { times: 9 })
      assert.strictEqual(asked, 10)
    }),
  )
})

describe("HookDispatcher.notify", () => {
  it("tells of every hook that answers nothing", () => {
    assert.sameMembers(
      [...MattermostContract.unary].filter(([, { kind }]) => kind === "tells").map(([hook]) => hook),
      [
        "onConfigurationChange",
        "onSendDailyTelemetry",
        "onCloudLimitsUpdated",
        "messageHasBeenPosted",
        "messageHasBeenUpdated",
        "messageHasBeenDeleted",
        "reactionHasBeenAdded",
        "reactionHasBeenRemoved",
        "preferencesHaveChanged",
        "userHasBeenCreated",
        "userHasLoggedIn",
        "userHasBeenDeactivated",
        "channelHasBeenCreated",
        "userHasJoinedChannel",
        "userHasLeftChannel",
        "userHasJoinedTeam",
        "userHasLeftTeam",
        "onWebSocketConnect",
        "onWebSocketDisconnect",
        "webSocketMessageHasBeenPosted",
      ],
    )
  })

  test(
    "keeps events for a plugin that rests, and gives them up when it ends",
    Effect.gen(function* () {
      const log = recordLog()
      const told: Array<string> = []
      let isWell = false
      const scope = yield* Scope.make()
      const { withdraw } = yield* register("slow", {
        messageHasBeenPosted: ({ post }) =>
          Effect.suspend(() => (told.push(post!.message), isWell ? Effect.succeed({}) : late("slow"))),
      }).pipe(Scope.provide(scope), Effect.provide(log.layer))
      const { notify } = yield* MattermostPlugins
      const tell = (messages: ReadonlyArray<string>) =>
        Effect.andThen(
          Effect.forEach(messages, (message) => notify("messageHasBeenPosted", post(message))),
          settle,
        )
      yield* tell(["1", "2", "3", "4", "5", "6", "7"])
      assert.deepStrictEqual(told, ["1", "2", "3", "4", "5"])
      isWell = true
      yield* TestClock.adjust("31 seconds")
      yield* settle
      assert.deepStrictEqual(told, ["1", "2", "3", "4", "5", "6", "7"])

      isWell = false
      yield* tell(["a", "b", "c", "d", "e", "f", "g"])
      assert.isTrue(yield* withdraw("5 seconds"))
      yield* Effect.provide(Scope.close(scope, Exit.void), log.layer)
      assert.deepStrictEqual(told.slice(7), ["a", "b", "c", "d", "e"], "nobody waits for the end of its rest")
      assert.include(log.messages(), "plugin slow: 2 events are lost, since it has ended")
    }),
  )

  test(
    "keeps no more bytes for a plugin than there is room for",
    Effect.gen(function* () {
      const log = recordLog()
      const gate = yield* Deferred.make<void>()
      yield* register("heavy", { messageHasBeenPosted: () => Effect.as(Deferred.await(gate), {}) })
      const { notify } = yield* MattermostPlugins
      const large = post("x".repeat(8 * 1024 * 1024))
      yield* Effect.provide(Effect.repeat(notify("messageHasBeenPosted", large), { times: 9 }), log.layer)
      assert.lengthOf(log.messages(), 1)
      assert.include(log.messages()[0], "plugin heavy is 3 events (")
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      yield* notify("messageHasBeenPosted", post("y".repeat((yield* NotificationLimits).bytes + 1)))
      assert.lengthOf(log.messages(), 1, "one that is larger than all there is room for goes by itself")
    }),
  )

  test(
    "delays nobody, and keeps the order for each plugin",
    Effect.gen(function* () {
      const heard: Array<string> = []
      const gate = yield* Deferred.make<void>()
      const listener = (id: string, wait: Effect.Effect<void>): HookHandlers<MattermostContract> => ({
        messageHasBeenPosted: ({ post }) =>
          Effect.as(wait, {}).pipe(Effect.tap(() => Effect.sync(() => heard.push(id + post!.message)))),
      })
      yield* register("quick", listener("q", Effect.void))
      yield* register("slow", listener("s", Deferred.await(gate)))
      const { notify } = yield* MattermostPlugins
      for (const message of ["1", "2", "3"]) {
        const event = post(message)
        yield* notify("messageHasBeenPosted", event)
        event.post.message = "changed afterwards"
      }
      yield* settle
      assert.deepStrictEqual(heard, ["q1", "q2", "q3"])
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.deepStrictEqual(heard.slice(3), ["s1", "s2", "s3"])
    }),
  )

  test(
    "drops what a plugin is too far behind for, says so once, and counts it",
    Effect.gen(function* () {
      const log = recordLog()
      const gate = yield* Deferred.make<void>()
      yield* register("stuck", { messageHasBeenPosted: () => Effect.as(Deferred.await(gate), {}) })
      const { notify } = yield* MattermostPlugins
      yield* Effect.gen(function* () {
        for (let index = 0; index < 1100; index++) yield* notify("messageHasBeenPosted", post(String(index)))
      }).pipe(Effect.provide(log.layer))
      assert.lengthOf(
        log.messages().filter((message) => message.includes("is 1001 events (")),
        1,
      )
      const lost = (yield* Metric.snapshot).find(
        ({ attributes, id }) => id === "plugin_hook_notifications_lost" && attributes?.["plugin"] === "stuck",
      )
      assert.deepInclude(lost?.state, { count: 99 })
      yield* Deferred.succeed(gate, undefined)
    }),
  )

  test(
    "delivers what waits when a plugin is withdrawn, within a bound, and says and counts what is lost",
    Effect.gen(function* () {
      const log = recordLog()
      const heard: Array<string> = []
      const scope = yield* Scope.make()
      const { withdraw } = yield* Scope.provide(
        register("leaving", {
          messageHasBeenPosted: ({ post }) =>
            post!.message === "stuck"
              ? Effect.never
              : Effect.as(Effect.sleep("1 second"), {}).pipe(
                  Effect.tap(() => Effect.sync(() => heard.push(post!.message))),
                ),
        }),
        scope,
      )
      const { notify } = yield* MattermostPlugins
      for (const message of ["1", "2", "stuck"]) yield* notify("messageHasBeenPosted", post(message))
      const withdrawing = yield* Effect.forkChild(withdraw("5 seconds"))
      yield* settle
      yield* notify("messageHasBeenPosted", post("too late"))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(heard, ["1", "2"])
      yield* TestClock.adjust("4 seconds")
      assert.isFalse(yield* Fiber.join(withdrawing))
      yield* Effect.provide(Scope.close(scope, Exit.void), log.layer)
      assert.deepStrictEqual(heard, ["1", "2"])
      assert.deepStrictEqual(log.messages(), ["plugin leaving: 1 events are lost, since it has ended"])
      const lost = (yield* Metric.snapshot).find(
        ({ attributes, id }) => id === "plugin_hook_notifications_lost" && attributes?.["plugin"] === "leaving",
      )
      assert.deepInclude(lost?.state, { count: 1 })
    }),
  )
})

describe("events of a plugin whose runs change", () => {
  /** A run that writes down what it is told, once a gate is open. */
  const hearing = (heard: Array<string>, gate: Effect.Effect<unknown> = Effect.void) =>
    register("changing", {
      messageHasBeenPosted: ({ post }) =>
        Effect.andThen(
          gate,
          Effect.sync(() => (heard.push(post!.message), {})),
        ),
    })
  const tell = Effect.fnUntraced(function* (...messages: ReadonlyArray<string>) {
    const { notify } = yield* MattermostPlugins
    for (const message of messages) yield* notify("messageHasBeenPosted", post(message))
    yield* settle
  })
  const lost = Effect.map(Metric.snapshot, (metrics) => {
    const counter = metrics.find(
      ({ attributes, id }) => id === "plugin_hook_notifications_lost" && attributes?.["plugin"] === "changing",
    )
    return counter !== undefined && "count" in counter.state ? Number(counter.state.count) : 0
  })

  test(
    "are handed over to the run that takes the place of another, in their order, each told once",
    Effect.gen(function* () {
      const [before, after]: [Array<string>, Array<string>] = [[], []]
      const gate = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const { withdraw } = yield* Scope.provide(hearing(before, Deferred.await(gate)), scope)
      yield* tell("1", "2", "3")
      yield* hearing(after)
      const withdrawing = yield* Effect.forkChild(withdraw("5 seconds"))
      yield* tell("4", "5")
      assert.deepStrictEqual([before, after], [[], []], "the first is still told")
      yield* Deferred.succeed(gate, undefined)
      assert.isTrue(yield* Fiber.join(withdrawing))
      yield* Scope.close(scope, Exit.void)
      yield* settle
      assert.deepStrictEqual(before, ["1"])
      assert.deepStrictEqual(after, ["2", "3", "4", "5"])
      assert.strictEqual(yield* lost, 0)
    }),
  )

  test(
    "wait for the next run where one is expected, within a bound, and are lost when none is any more",
    Effect.gen(function* () {
      const log = recordLog()
      const { active } = yield* MattermostPlugins
      const heard: Array<string> = []
      const before = yield* lost
      yield* active.expect("changing", true)
      yield* tell("nobody knows yet what it wants to hear")
      yield* Effect.scoped(hearing(heard))
      yield* tell("1", "2")
      const scope = yield* Scope.make()
      const { withdraw } = yield* Scope.provide(hearing(heard), scope)
      yield* settle
      assert.deepStrictEqual(heard, ["1", "2"])
      // A reload that stops it first does not wait for what waits.
      assert.isTrue(yield* withdraw("5 seconds"))
      yield* Scope.close(scope, Exit.void)
      yield* tell("3", "4", "5", "6", "7").pipe(Effect.provide(log.layer))
      assert.deepStrictEqual(heard, ["1", "2"])
      yield* Effect.provide(active.expect("changing", false), log.layer)
      yield* tell("8")
      yield* hearing(heard)
      yield* settle
      assert.deepStrictEqual(heard, ["1", "2"])
      assert.strictEqual((yield* lost) - before, 5)
      assert.include(log.messages(), "plugin changing: 5 events are lost, since it has ended")
    }),
  )

  test(
    "wait when a run is gone that nobody has seen end yet, but for the one that it was told",
    Effect.gen(function* () {
      const { active } = yield* MattermostPlugins
      const asked: Array<string> = []
      yield* active.expect("changing", true)
      const scope = yield* Scope.make()
      const dead = new HookTransportError({ pluginId: "changing", hook: "H", status: "UNAVAILABLE", details: "gone" })
      yield* Scope.provide(
        register("changing", {
          messageHasBeenPosted: ({ post }) =>
            Effect.andThen(
              Effect.sync(() => asked.push(post!.message)),
              Effect.fail(dead),
            ),
        }),
        scope,
      )
      yield* tell("1", "2", "3")
      assert.deepStrictEqual(asked, ["1"])
      yield* Scope.close(scope, Exit.void)
      const heard: Array<string> = []
      yield* hearing(heard)
      yield* settle
      assert.deepStrictEqual([asked, heard], [["1"], ["2", "3"]])
    }),
  )
})

describe("HookDispatcher.collect", () => {
  test(
    "answers what every plugin says that does not fail",
    Effect.gen(function* () {
      yield* register("b", { runDataRetention: () => Effect.succeed({ deletedCount: 2n }) })
      yield* register("a", { runDataRetention: ({ batchSize }) => Effect.succeed({ deletedCount: batchSize }) })
      yield* register("c", { runDataRetention: () => crash(true) })
      const { collect } = yield* MattermostPlugins
      const answers = yield* collect("runDataRetention", { batchSize: 40n })
      assert.deepStrictEqual(
        answers.map(({ pluginId, response }) => [pluginId, response.deletedCount]),
        [
          ["a", 40n],
          ["b", 2n],
        ],
      )
    }),
  )
})

describe("HookDispatcher.call", () => {
  test(
    "asks the plugin of an id and no other, and tells what fails",
    Effect.gen(function* () {
      const { call } = yield* MattermostPlugins
      const command = { args: { command: "/x" } }
      assert.isTrue(Option.isNone(yield* call("a", "executeCommand", command)))
      yield* register("a", {
        executeCommand: ({ args }) => Effect.succeed({ response: { text: `a ${args?.command}` } }),
      })
      yield* register("b", { executeCommand: () => crash(true) })
      yield* register("c", { messageHasBeenPosted: () => Effect.succeed({}) })
      const answer = Option.getOrThrow(yield* call("a", "executeCommand", command))
      assert.strictEqual(answer.response?.text, "a /x")
      assert.isTrue(Option.isNone(yield* call("c", "executeCommand", command)))
      const log = recordLog()
      const error = yield* Effect.flip(call("b", "executeCommand", command).pipe(Effect.provide(log.layer)))
      assert.deepInclude(error, { _tag: "HookPluginError", reason: "no such configuration" })
      assert.include(log.entries.map(({ message }) => message).join(), "no such configuration")
    }),
  )

  test(
    "leaves a plugin alone that keeps not answering",
    Effect.gen(function* () {
      let calls = 0
      yield* register("a", {
        executeCommand: () =>
          Effect.andThen(
            Effect.sync(() => (calls += 1)),
            late("a"),
          ),
      })
      const { call } = yield* MattermostPlugins
      const failures = yield* Effect.forEach(Array.from({ length: BREAKER_FAILURES + 1 }), () =>
        Effect.flip(call("a", "executeCommand", {})),
      )
      assert.strictEqual(failures.at(-1)?._tag, "HookSuspendedError")
      assert.strictEqual(calls, BREAKER_FAILURES)
    }),
  )
})
