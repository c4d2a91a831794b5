/** All that a host does, at once, beside plugins that crash and are started again: everybody else is served as ever. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Option, Redacted } from "effect"
import { FetchHttpClient, HttpServer } from "effect/http"
import { served } from "../support/served.ts"
import { AccessToken } from "../../src/http/AccessToken.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../../src/workspace/Workspace.ts"
import { folder } from "../support/folder.ts"
import { hostEnvironment, noPython } from "../support/host.ts"
import { rounds } from "../support/soak.ts"
import { bounded, nobodyHas, peer, python, under } from "./support.ts"

const SECONDS = rounds(5, 240)

/** Who does all of it at once. */
const WORKERS = 4

/** Marks posts, counts those it hears of, and serves what it has counted, by the host API. */
const STEADY = `
import json
from mattermost_plugin import HookName, Plugin, hook, run_plugin

class Steady(Plugin):
    @hook(HookName.OnActivate)
    def activate(self):
        self.heard = 0

    @hook(HookName.MessageWillBePosted)
    def will(self, context, post):
        post.message += " (seen)"
        return post, ""

    @hook(HookName.MessageHasBeenPosted)
    def has(self, context, post):
        self.heard += 1
        self.api.kv_set("heard", str(self.heard).encode())

    @hook(HookName.ServeHTTP)
    def serve(self, context, writer, request):
        writer.write(request.body + (self.api.kv_get("heard") or b""))

run_plugin(Steady)
`

const workspaceOf = Effect.gen(function* () {
  const { me, channels, teams } = yield* Workspace
  const team = yield* teams.getByName(TEAM_NAME)
  return { user: yield* me, channel: yield* channels.getByName(team.id, CHANNEL_NAME) }
})

describe.skipIf(process.platform !== "linux" || noPython)("a host at work", () => {
  it.live(
    `serves everybody for ${SECONDS} seconds while plugins crash and start again`,
    () =>
      Effect.gen(function* () {
        const root = yield* folder({
          ...under("plugins/steady", python(STEADY, "steady")),
          ...under("plugins/well", peer("well", { id: "well" })),
          ...under("plugins/crashing", peer("well", { id: "crashing" })),
          ...under("plugins/dying", peer("exits at a command", { id: "dying" })),
        })
        const counts = { posts: 0, pages: 0, commands: 0, crashes: 0 }

        const load = Effect.gen(function* () {
          const { find, settled } = yield* MattermostPlugins.Environment
          yield* bounded("the plugins' start", settled)
          const { address } = yield* HttpServer.HttpServer
          const base = `http://127.0.0.1:${"port" in address ? address.port : 0}`
          const headers = { Authorization: `Bearer ${Redacted.value((yield* AccessToken).value)}` }
          const { channel, user } = yield* workspaceOf
          const { call } = yield* MattermostPlugins
          const ask = (path: string, init: RequestInit = {}) =>
            bounded(
              `an answer of ${path}`,
              Effect.promise(async () => {
                const response = await fetch(base + path, { ...init, headers })
                return { status: response.status, text: await response.text() }
              }),
            )

          const post = Effect.gen(function* () {
            const body = JSON.stringify({ channel_id: channel.id, user_id: user.id, message: `m${counts.posts++}` })
            const { status, text } = yield* ask("/api/v4/posts", { method: "POST", body })
            assert.strictEqual(status, 201, text)
            assert.match(JSON.parse(text).message, / \(seen\)$/)
          })
          const page = Effect.gen(function* () {
            const body = "x".repeat(100_000)
            const { status, text } = yield* ask("/plugins/steady/", { method: "POST", body })
            assert.deepStrictEqual([status, text.slice(0, body.length)], [200, body])
            assert.deepStrictEqual(yield* ask("/plugins/well/"), { status: 200, text: "well" })
            assert.include([200, 404, 500, 502, 503], (yield* ask("/plugins/crashing/")).status)
            counts.pages++
          })
          const command = Effect.gen(function* () {
            const answer = yield* bounded("a hook's answer", call("well", "executeCommand", {}))
            assert.strictEqual(Option.getOrUndefined(answer)?.response?.text, "well")
            yield* Effect.ignore(bounded("its end", call("dying", "executeCommand", {})))
            counts.commands++
          })
          const revived = (id: string, crash: (pid: number) => void) =>
            Effect.gen(function* () {
              const plugin = Option.getOrThrow(yield* find(id))
              const { ended, process: running } = yield* bounded("its start", plugin.start)
              crash(running.pid)
              yield* bounded("its end", ended)
              counts.crashes++
            })

          const worker = Effect.forever(Effect.all([post, page, command], { discard: true }))
          const all = [
            ...Array.from({ length: WORKERS }, () => worker),
            Effect.forever(revived("crashing", (pid) => process.kill(pid, "SIGKILL"))),
            // It goes with the next command.
            Effect.forever(revived("dying", () => {})),
          ]
          yield* Effect.raceFirst(
            Effect.all(all, { concurrency: "unbounded", discard: true }),
            Effect.sleep(Duration.seconds(SECONDS)),
          )
          for (const [what, count] of Object.entries(counts)) assert.isAbove(count, 0, what)
          // Whoever was told of an event has heard of it, in the end.
          const heard = Effect.map(ask("/plugins/steady/"), ({ text }) => Number(text))
          const { posts } = counts
          yield* bounded("all is heard", Effect.repeat(heard, { until: (count) => count >= posts - WORKERS }))
        })
        const layer = yield* served(root)
        yield* Effect.scoped(
          Effect.provide(load, layer.pipe(Layer.provide([hostEnvironment, FetchHttpClient.layer, NodeServices.layer]))),
        ).pipe(Effect.provide(Logger.layer([])))
        process.stdout.write(`${JSON.stringify(counts)}\n`)
        yield* nobodyHas(root)
      }).pipe(Effect.scoped),
    180_000 + SECONDS * 2000,
  )
})
