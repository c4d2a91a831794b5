/** Plugins that are asked whether a post may be: whatever they do in place of an answer is no yes, and no lost no. */
import { create } from "@bufbuild/protobuf"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import type { HookError } from "../../src/hooks/HookError.ts"
import type { UnaryHook } from "../../src/contract/HookNames.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../../src/workspace/Workspace.ts"
import { brief, type FaultName, type Kind, kinds, peer } from "./support.ts"

const decide = Effect.flatMap(MattermostPlugins, ({ decide }) =>
  decide("messageWillBePosted", { post: create(PostSchema, { message: "hello" }) }),
)

/** Of a hook that will not answer; the others may take their time on a busy machine. */
const SHORT = "3 seconds"

const onFailure = (onFailure: "refuse" | "allow", deadline: typeof SHORT | "60 seconds" = "60 seconds") => ({
  ...brief,
  hooks: { policies: { messageWillBePosted: { onFailure, deadline } } } as const,
})

/** What is no answer: under `refuse` the post is refused, under `allow` it is as it was, and the log says why. */
const noAnswer = (fault: FaultName, why: RegExp, deadline?: typeof SHORT): { readonly [name: string]: Kind } => ({
  [`${fault} (refuse)`]: {
    bundle: peer(fault),
    options: onFailure("refuse", deadline),
    outcome: ({ logged, start }) =>
      Effect.gen(function* () {
        yield* start
        const error = yield* Effect.flip(decide)
        assert.deepInclude(error, { _tag: "HookRejectedError", pluginId: "hostile", isFailure: true })
        yield* logged(why)
      }),
  },
  [`${fault} (allow)`]: {
    bundle: peer(fault),
    options: onFailure("allow", deadline),
    outcome: ({ logged, start }) =>
      Effect.gen(function* () {
        yield* start
        const { post } = yield* decide
        assert.strictEqual(post.message, "hello")
        yield* logged(why)
      }),
  },
})

/** A no that arrives whatever its policy is. */
const no = (fault: FaultName, reason: RegExp): Kind => ({
  bundle: peer(fault),
  options: onFailure("allow"),
  outcome: ({ start }) =>
    Effect.gen(function* () {
      yield* start
      const error = yield* Effect.flip(decide)
      assert.deepInclude(error, { _tag: "HookRejectedError", pluginId: "hostile", isFailure: false })
      assert.match(error.reason, reason)
    }),
})

const unreached = /hostile: MessageWillBePosted did not reach the plugin \(UNAVAILABLE/
const late = /hostile: MessageWillBePosted did not answer within 3000 ms; make the handler faster/
const failed = (how: string) => new RegExp(`hostile: MessageWillBePosted failed in the plugin \\(${how}`)

kinds("a plugin that has to decide and", {
  ...noAnswer("exits when it is asked", unreached),
  ...noAnswer("is killed when it is asked", unreached),
  ...noAnswer("is stopped when it is asked", late, SHORT),
  ...noAnswer("never answers", late, SHORT),
  ...noAnswer("closes the connection", unreached),
  ...noAnswer("breaks off its answer", failed("INTERNAL")),
  ...noAnswer("answers with a status", failed("INTERNAL\\): out of luck")),
  ...noAnswer("says that it is OK, and no more", failed("")),
  ...noAnswer("says no status", failed("")),
  ...noAnswer("takes back that it has the hook", failed("UNIMPLEMENTED")),
  // Where the second message is not read, neither is what comes behind it.
  ...noAnswer("answers twice", /hostile: MessageWillBePosted (?:failed|did not answer)/, SHORT),
  ...noAnswer("answers with garbage", failed("INTERNAL")),
  ...noAnswer("answers with a time beyond all numbers", failed("plugin.invalid_answer.error.*modified_post.create_at")),
  ...noAnswer("answers with NaN", failed("plugin.invalid_answer.error.*modified_post.props.a")),
  ...noAnswer("answers with props that are 31 deep", failed("plugin.invalid_answer.error.*is nested too deeply")),
  ...noAnswer("answers with props that are 60 deep", failed("INTERNAL.*recursion depth")),
  ...noAnswer("answers with 500,000 values", failed("plugin.invalid_answer.error.*values")),
  ...noAnswer("answers with a message that is no text", failed("")),
  ...noAnswer("says no in no text", failed("INTERNAL")),
  "says no in 10 MB": no("says no in 10 MB", /^nnn/),
  "says no and something else": no("says no and something else", /^no$/),
})

/** Requests of hooks that need more than nothing. */
const requests: { readonly [hook: string]: object } = {
  emailNotificationWillBeSent: { emailNotification: { notificationJson: Buffer.from("{}") } },
  messagesWillBeConsumed: { posts: [{ id: "x" }] },
}

kinds("a plugin that", {
  "answers everything with garbage": {
    bundle: peer("answers everything with garbage"),
    options: brief,
    outcome: ({ start }) =>
      Effect.gen(function* () {
        const { hooks } = yield* start
        const { collect, decide, notify } = yield* MattermostPlugins
        for (const [hook, { kind }] of [...MattermostContract.unary, ...MattermostContract.unary]) {
          const request: object = requests[hook] ?? {}
          const ask = hooks[hook as UnaryHook<MattermostContract>] as (
            request: object,
          ) => Effect.Effect<unknown, HookError>
          const answer = yield* Effect.result(ask(request))
          if (answer._tag === "Failure") assert.strictEqual(answer.failure._tag, "HookPluginError")
          const dispatch = { asks: collect, decides: decide, tells: notify }[kind] as (
            hook: string,
            request: object,
          ) => Effect.Effect<unknown, unknown>
          yield* Effect.ignore(dispatch(hook, request))
        }
      }),
  },
})

const post = Effect.gen(function* () {
  const workspace = yield* Workspace
  const { id: userId } = yield* workspace.me
  const team = yield* workspace.teams.getByName(TEAM_NAME)
  const { id: channelId } = yield* workspace.channels.getByName(team.id, CHANNEL_NAME)
  const stored = workspace.posts.forChannel(channelId, { page: 0, perPage: 10 })
  const create = workspace.createPost({ channelId, userId, message: "hello" })
  return { channelId, userId, create, stored }
})

kinds("a plugin that changes a post and", {
  "makes another's of it, elsewhere, long ago and deleted": {
    bundle: peer("makes another post of it"),
    outcome: ({ start }) =>
      Effect.gen(function* () {
        yield* start
        const { channelId, create, userId } = yield* post
        const before = BigInt(Date.now())
        const made = yield* create
        assert.deepInclude(made, { channelId, userId, rootId: "", deleteAt: 0n, message: "changed" })
        assert.notMatch(made.id, /^a+$/)
        assert.isTrue(made.createAt >= before)
      }),
  },
  "makes one of it that can't be": {
    bundle: peer("makes an impossible post of it"),
    outcome: ({ start }) =>
      Effect.gen(function* () {
        yield* start
        const { create, stored } = yield* post
        const before = (yield* stored).order.length
        const error = yield* Effect.flip(create)
        assert.include(error.message, "A message has up to 16383 characters")
        assert.lengthOf((yield* stored).order, before)
      }),
  },
})
