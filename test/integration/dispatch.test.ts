/** Hooks of several real plugins: every one of the contract, the rules for many, and what a failure means. */
import { randomBytes } from "node:crypto"
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Tracer } from "effect"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { hookName } from "../../src/contract/Contract.ts"
import type { SupervisorOptions } from "../../src/supervisor/SupervisorOptions.ts"
import { recordLog } from "../support/log.ts"
import { eventually, fixture, host, noPython } from "../support/host.ts"

/** Starts copies of the plugin, each under a name of its own, which are called over one transport. */
const starting = (transport: "ttrpc" | "grpc") =>
  Effect.fnUntraced(function* (name: string, options: SupervisorOptions<MattermostContract> = {}) {
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), `${name}-`))),
      (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true })),
    )
    cpSync(fixture("dispatch"), directory, { recursive: true })
    const manifest = join(directory, "plugin.json")
    writeFileSync(manifest, readFileSync(manifest, "utf8").replace('"dispatch"', JSON.stringify(`plugin-${name}`)))
    const bundle = yield* (yield* PluginBundles).load(directory)
    const given = { transport, ...options, variables: { NAME: name } }
    return yield* (yield* MattermostPlugins.Supervisor).start(bundle, given)
  })

const decide = (message: string) =>
  Effect.flatMap(MattermostPlugins, ({ decide }) =>
    Effect.map(
      decide("messageWillBePosted", {
        post: create(PostSchema, { id: "p", message, props: { mine: [1, { two: 3 }] } }),
      }),
      ({ post }) => post,
    ),
  )

describe.skipIf(noPython).each(["ttrpc", "grpc"] as const)("the hooks of real plugins over %s", (transport) => {
  const start = starting(transport)

  it.live("every hook of the contract goes to Python and back", () => {
    const log = recordLog()
    return Effect.gen(function* () {
      const bundle = yield* (yield* PluginBundles).load(fixture("every-hook"))
      const { client } = yield* (yield* MattermostPlugins.Supervisor).start(bundle, { transport })
      assert.strictEqual(client.implemented.size, 41)
      const unary = [...MattermostContract.unary.keys()]
      for (const hook of unary) yield* client.call(hook, {})
      const called = () =>
        new Set(log.entries.filter(({ message }) => message === "called").map(({ fields }) => fields["hook"]))
      yield* eventually("all are logged", () => called().size >= unary.length)
      assert.sameMembers(
        [...called()],
        unary.map((hook) => hookName(MattermostContract, hook)),
      )
    }).pipe(Effect.scoped, Effect.provide(host()), Effect.provide(log.layer))
  })

  it.live("what a handler asks of the host is part of the hook's trace", () =>
    Effect.gen(function* () {
      const seen: Array<Tracer.AnySpan> = []
      const api = {
        getServerVersion: () =>
          Effect.map(Effect.orDie(Effect.currentSpan), (span) => (seen.push(span), { version: "1" })),
      }
      const { span } = yield* Effect.gen(function* () {
        yield* start("a")
        return { span: yield* Effect.currentSpan }
      }).pipe(
        Effect.tap(() => decide("a:ask")),
        Effect.withSpan("request"),
        Effect.scoped,
        Effect.provide(host(api)),
      )
      assert.lengthOf(seen, 1)
      assert.strictEqual(seen[0]!.traceId, span.traceId)
      assert.notStrictEqual(seen[0]!.spanId, span.spanId)
    }),
  )

  it.live("large files go through one plugin after the other", () =>
    Effect.gen(function* () {
      yield* start("a")
      yield* start("b")
      const { decide } = yield* MattermostPlugins
      const file = randomBytes(60 * 1024 * 1024)
      const upload = (name: string) =>
        decide("fileWillBeUploaded", { fileInfo: { name, size: BigInt(file.length) }, fileContent: file })
      const { fileContent, fileInfo } = yield* upload("film")
      assert.strictEqual(fileInfo.name, "film a b")
      assert.strictEqual(fileInfo.size, BigInt(file.length + 2))
      assert.isTrue(Buffer.concat([file, Buffer.from("ab")]).equals(fileContent))
      assert.deepInclude(yield* Effect.flip(upload("virus")), { pluginId: "plugin-a", reason: "a says no" })
    }).pipe(Effect.scoped, Effect.provide(host())),
  )

  it.live("three plugins are asked in order, refuse, fail, and are told", () => {
    const log = recordLog()
    return Effect.gen(function* () {
      // Started in another order than they are asked in.
      yield* start("c")
      yield* start("a")
      yield* start("b", {
        hooks: { policies: { messageWillBePosted: { deadline: "5 seconds", onFailure: "refuse" } } },
      })

      const post = yield* decide("hello")
      assert.strictEqual(post.message, "hello a b c")
      assert.deepStrictEqual(post.props, { mine: [1, { two: 3 }], seen_by: ["a", "b", "c"] })

      const refused = yield* Effect.flip(decide("b:refuse"))
      assert.deepInclude(refused, { pluginId: "plugin-b", reason: "b says no", isFailure: false })

      // a may fail: its operator has not said otherwise.
      assert.strictEqual((yield* decide("a:raise")).message, "a:raise b c")
      assert.isTrue(log.messages().some((message) => message.includes("plugin plugin-a: MessageWillBePosted failed")))
      assert.isFalse(
        log.messages().some((message) => message.includes("a secret") && message.includes("plugin-a: Message")),
      )
      // b must agree: that it raises, or does not answer in time, is no agreement.
      assert.isTrue((yield* Effect.flip(decide("b:raise"))).isFailure)
      assert.isTrue((yield* Effect.flip(decide("b:hang"))).isFailure)

      const { notify } = yield* MattermostPlugins
      for (const message of ["1", "2", "3"]) yield* notify("messageHasBeenPosted", { post: { message } })
      const told = (id: string) =>
        log.entries
          .filter(({ fields, message }) => message === "told" && fields["plugin_id"] === id)
          .map(({ fields }) => fields["post"])
      for (const id of ["plugin-a", "plugin-b", "plugin-c"]) {
        yield* eventually(`${id} is told`, () => told(id).length === 3)
        assert.deepStrictEqual(told(id), ["1", "2", "3"])
      }

      // A crash is no answer either, and afterwards the plugin is not asked any more.
      assert.strictEqual((yield* decide("c:crash")).message, "c:crash a b")
      yield* eventually("its end is seen", () =>
        log.messages().some((message) => message.includes("ended unexpectedly")),
      )
      assert.strictEqual((yield* decide("again")).message, "again a b")
    }).pipe(Effect.scoped, Effect.provide(host()), Effect.provide(log.layer))
  })
})

describe.skipIf(noPython)("events over ttrpc", () => {
  it.live("a plugin hears of events, in their order, before it has done with the first", () => {
    const log = recordLog()
    return Effect.gen(function* () {
      yield* starting("ttrpc")("a")
      const { notify } = yield* MattermostPlugins
      const messages = ["hold", "1", "2", "3", "release"]
      for (const message of messages) yield* notify("messageHasBeenPosted", { post: { message } })
      const logged = (what: string) => log.entries.filter(({ message }) => message === what)
      yield* eventually("the first has an end", () => logged("held").length > 0)
      assert.deepInclude(logged("held")[0]!.fields, { released: true })
      assert.deepStrictEqual(
        logged("told").map(({ fields }) => fields["post"]),
        messages,
      )
    }).pipe(Effect.scoped, Effect.provide(host()), Effect.provide(log.layer))
  })
})
