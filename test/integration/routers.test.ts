/** A plugin of several files: its routers, several handlers of one hook, its jobs, and what all of them are called. */
import { join } from "node:path"
import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Option } from "effect"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { recordLog } from "../support/log.ts"
import { folder } from "../support/folder.ts"
import { eventually, fixture, noPython } from "../support/host.ts"
import { baseUrl, server } from "../support/server.ts"
import { copyPlugin, WAYS } from "../support/ways.ts"

describe.skipIf(noPython).each(WAYS)("a plugin with routers, by %s", (way) => {
  it.live("does what each of its parts does, and tells which one failed", () => {
    const log = recordLog()
    const commands: Array<string | undefined> = []
    const api = {
      getServerVersion: () => Effect.succeed({ version: "11" }),
      registerCommand: ({ command }: { readonly command?: { readonly trigger: string } | undefined }) =>
        Effect.sync(() => (commands.push(command?.trigger), {})),
    }
    const logged = (part: string) =>
      eventually(`${part} is logged`, () => log.messages().some((message) => message.includes(part)))
    const live = Layer.unwrap(
      Effect.map(folder({}), (directory) => {
        copyPlugin(fixture("parts"), join(directory, "parts"), way)
        return server(directory, api)
      }),
    ).pipe(Layer.provideMerge(log.layer))

    return Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const base = yield* baseUrl
        yield* Effect.all([
          logged("Parts is active"),
          logged("Reminders is active"),
          logged("every: 11"),
          logged("cron: 11"),
          logged("Reminders.look failed; it runs again in 600 s"),
        ])
        assert.deepStrictEqual(commands, ["remind"])

        const { call, notify } = yield* MattermostPlugins
        yield* notify("messageHasBeenPosted", { post: create(PostSchema, { message: "the milk" }) })
        yield* logged("remembered the milk")
        yield* logged("MessageHasBeenPosted (Parts.fail) failed")

        const page = (path: string) => Effect.promise(() => fetch(`${base}/plugins/parts${path}`))
        assert.deepStrictEqual(yield* Effect.flatMap(page("/"), (answer) => Effect.promise(() => answer.json())), {
          posts: 1,
        })
        assert.strictEqual((yield* page("/fail")).status, 500)
        yield* logged("ServeHTTP (Statistics.serve) failed: GET /fail")

        const typed = (command: string) => call("parts", "executeCommand", { args: { command } })
        const answer = Option.getOrThrow(yield* typed("/remind the milk"))
        assert.strictEqual(answer.response?.text, "I remind you of the milk")
        assert.isTrue(Exit.isFailure(yield* Effect.exit(typed("/remind"))))
        yield* logged("ExecuteCommand (Reminders.remind) failed")
      }).pipe(Effect.provide(live))
      yield* logged("Reminders says goodbye")
    })
  })
})
