/** Plugins that lie on the wire: about who they are, how they are, and how much is to come. */
import { writeFileSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { join } from "node:path"
import { create } from "@bufbuild/protobuf"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { bounded, brief, type FaultName, fails, type Kind, kinds, peer, python, sh, starts } from "./support.ts"

const FOREIGN = /it may be another's.*for one that can't, set allowForeignAddress/s

/** A server of this test's, which is no plugin. */
const stranger = Effect.acquireRelease(
  Effect.callback<AddressInfo>((resume) => {
    const server = createServer().listen(0, "127.0.0.1", () =>
      resume(Effect.succeed({ ...(server.address() as AddressInfo), server } as AddressInfo)),
    )
  }),
  (address) => Effect.sync(() => (address as unknown as { server: ReturnType<typeof createServer> }).server.close()),
)

const ANSWERING = `
from mattermost_plugin import CommandResponse, HookName, Plugin, hook, run_plugin

class Bystander(Plugin):
    @hook(HookName.OnActivate)
    def activate(self):
        self.api.kv_set("secret", b"x")

    @hook(HookName.ExecuteCommand)
    def command(self, context, args):
        return CommandResponse(text="well")

run_plugin(Bystander)
`

/** A plugin that can't call its host any more, which would go on like that to its end. */
const losesHost = (how: string): Kind => ({
  bundle: python(`
import os

api = int(os.environ["PLUGIN_SUPERVISOR_TTRPC"].split(",")[1])

from mattermost_plugin import CommandResponse, HookName, Plugin, hook, run_plugin

class Hostile(Plugin):
    @hook(HookName.ExecuteCommand)
    def command(self, context, args):
        ${how}
        return CommandResponse(text="done")

run_plugin(Hostile)
`),
  options: brief,
  outcome: ({ start, state }) =>
    Effect.gen(function* () {
      const { ended, hooks } = yield* start
      const { response } = yield* hooks.executeCommand({})
      assert.strictEqual(response?.text, "done")
      assert.deepStrictEqual(yield* bounded("its end", ended), { _tag: "Disconnected" })
      assert.match(
        state().error ?? "",
        /hostile was stopped, since .* the connection by which it calls its host is lost/,
      )
    }),
})

kinds("a plugin that", {
  "names another's socket": fails(peer("says that it is another"), "HandshakeError", [
    /which is not in its socket folder/,
    FOREIGN,
  ]),
  "links its socket to another's": fails(peer("links its socket to another"), "HandshakeError", [
    /which is not in its socket folder/,
    FOREIGN,
  ]),
  "names another machine": fails(sh("echo '1|1|tcp|192.0.2.1:10000|grpc'; sleep 600"), "HandshakeError", [
    /192\.0\.2\.1:10000, which is not this machine's own/,
    FOREIGN,
  ]),
  "names another program's port": {
    bundle: sh('read -r port <"${0%/*}/port"; echo "1|1|tcp|127.0.0.1:$port|grpc"; sleep 600'),
    outcome: ({ root, start }) =>
      Effect.gen(function* () {
        const { port } = yield* stranger
        writeFileSync(join(root, "hostile/port"), `${port}\n`)
        const error = yield* Effect.flip(start)
        assert.match(error.message, /hostile.*where another process listens/)
        assert.match(error.message, FOREIGN)
      }),
  },
  "replaces its socket by a link to another's": {
    bundle: peer("replaces its socket by a link to another"),
    options: brief,
    outcome: ({ start, stop }) =>
      Effect.gen(function* () {
        const { hooks } = yield* start
        const { response } = yield* hooks.executeCommand({})
        assert.strictEqual(response?.text, "replaced")
        // Neither this nor what a stop asks reaches the other.
        yield* hooks.messageWillBePosted({})
        yield* stop
      }),
  },
  "speaks for another": {
    bundle: peer("speaks for another"),
    bystander: python(ANSWERING, "bystander"),
    outcome: ({ start }) =>
      Effect.gen(function* () {
        const { hooks } = yield* start
        const { response } = yield* hooks.executeCommand({})
        assert.strictEqual(response?.text, "16", "UNAUTHENTICATED")
      }),
  },
  "closes its server and lives on": {
    bundle: peer("closes its server"),
    options: brief,
    outcome: ({ start, state }) =>
      Effect.gen(function* () {
        const { ended, hooks } = yield* start
        const error = yield* Effect.flip(hooks.executeCommand({}))
        assert.strictEqual(error._tag, "HookTransportError")
        assert.deepStrictEqual(yield* bounded("its end", ended), { _tag: "Disconnected" })
        assert.match(state().error ?? "", /hostile was stopped, since its server does not answer any more/)
      }),
  },
  "closes its way to the host and lives on": losesHost("os.close(api)"),
  "writes what is no frame on its way to the host": losesHost('os.write(api, b"GET / HTTP/1.1\\r\\n")'),
  "has no health service": starts(peer("has no health service"), {}, [/hostile has no health service/]),
  "does not know the health of its name": starts(peer("does not know the health of its name")),
  "prints a handshake of 60,000 characters": {
    bundle: sh(`head -c 60000 /dev/zero | tr '\\0' x; echo '|1|unix|/x|grpc'; sleep 600`),
    outcome: ({ start }) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(start)
        assert.strictEqual(error._tag, "HandshakeError")
        assert.match(error.message, /hostile.* did not start: its core protocol version "xxx.*is no number/)
        assert.isBelow(error.message.length, 2000)
      }),
  },
})

/** What is no answer, whatever it is: under `refuse` the post is refused, and the log says why. */
const noAnswer = (fault: FaultName, why: RegExp, deadline: "5 seconds" | "60 seconds" = "60 seconds"): Kind => ({
  bundle: peer(fault),
  options: {
    ...brief,
    hooks: { policies: { messageWillBePosted: { onFailure: "refuse", deadline } } },
  },
  outcome: ({ logged, start }) =>
    Effect.gen(function* () {
      const { hooks } = yield* start
      const { decide } = yield* MattermostPlugins
      const error = yield* Effect.flip(decide("messageWillBePosted", { post: create(PostSchema, { message: "x" }) }))
      assert.deepInclude(error, { pluginId: "hostile", isFailure: true })
      yield* logged(why)
      // The connection is as good as before, or there is another.
      yield* Effect.retry(hooks.executeCommand({}), { times: 5 })
    }),
})

const failed = (how: string) => new RegExp(`hostile: MessageWillBePosted failed in the plugin \\(${how}`)

kinds("a plugin that is asked and", {
  "ends with a status that is none": noAnswer("ends with a status that is none", failed("UNKNOWN")),
  "ends with a status beyond all": noAnswer("ends with a status beyond all", failed("UNKNOWN")),
  "ends with two statuses": noAnswer("ends with two statuses", failed("")),
  "fails in a megabyte of words": noAnswer("fails in a megabyte of words", /hostile: MessageWillBePosted/),
  "answers 80 MiB": noAnswer("answers 80 MiB", failed("RESOURCE_EXHAUSTED")),
  "answers what is 100 MiB unzipped": noAnswer("answers what is 100 MiB unzipped", failed("RESOURCE_EXHAUSTED")),
  "answers what it says is zipped": noAnswer("answers what it says is zipped", failed("INTERNAL")),
  "says that its answer has 4 GiB": noAnswer("says that its answer has 4 GiB", failed("RESOURCE_EXHAUSTED")),
  "begins an answer and never ends it": noAnswer(
    "begins an answer and never ends it",
    /hostile: MessageWillBePosted did not answer within 5000 ms/,
    "5 seconds",
  ),
  "answers with 10,000 headers": noAnswer("answers with 10,000 headers", /hostile: MessageWillBePosted/),
})

/** A plugin that calls its host API as nobody should, and the call's status. */
const calls = (fault: FaultName, status: RegExp): Kind => ({
  bundle: peer(fault),
  options: { hooks: { deadline: "60 seconds" } },
  outcome: ({ start }) =>
    Effect.gen(function* () {
      const { hooks } = yield* start
      const { response } = yield* hooks.executeCommand({})
      assert.match(response?.text ?? "", status)
    }),
})

kinds("a plugin that asks its host", {
  "in 80 MiB": calls("asks in 80 MiB", /^8$/),
  "what is 100 MiB unzipped": calls("asks what is 100 MiB unzipped", /^8$/),
  "what is no gRPC": calls("asks what is no gRPC", /^not (?!0)/),
})
