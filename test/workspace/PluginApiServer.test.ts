import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { PluginApiServer } from "../../src/api/PluginApiServer.ts"
import { PluginAPI } from "../../src/generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import * as GrpcClient from "../../src/grpc/GrpcClient.ts"
import * as HostServer from "../../src/goplugin/HostServer.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { caller, otherCaller, workspaceLayer } from "./fixture.ts"

const { method } = PluginAPI

describe("the host API on a workspace, over gRPC", () => {
  it.live("answers each plugin for itself, with errors in the response", () =>
    Effect.gen(function* () {
      const server = yield* PluginApiServer
      const offered = { contract: MattermostContract, methods: (yield* MattermostPlugins.Api) as never }
      const connect = Effect.fnUntraced(function* (as: typeof caller) {
        const directory = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "api-"))),
          (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true })),
        )
        return yield* GrpcClient.make(yield* server.serve(offered, as, directory))
      })
      const one = yield* connect(caller)
      const two = yield* connect(otherCaller)
      const value = new Uint8Array(5 * 1024 * 1024).fill(7)
      assert.isUndefined((yield* one.unary(method.kVSet, { key: "k", value })).error)
      assert.deepStrictEqual((yield* one.unary(method.kVGet, { key: "k" })).value, value)
      const absent = yield* two.unary(method.kVGet, { key: "k" })
      assert.isUndefined(absent.error)
      assert.strictEqual(absent.value.length, 0)
      const wrong = yield* one.unary(method.kVSet, { key: "", value })
      assert.deepInclude(wrong.error, { id: "model.plugin_key_value.is_valid.key.app_error", statusCode: 400 })
      const { user } = yield* one.unary(method.getUserByUsername, { name: "admin" })
      const missing = yield* one.unary(method.createPost, {
        post: { userId: user?.id ?? "", channelId: "x", message: "m" },
      })
      assert.deepInclude(missing.error, {
        id: "app.channel.get.existing.app_error",
        statusCode: 404,
        where: "CreatePost",
      })
    }).pipe(Effect.provide([Layer.provide(PluginApiServer.layer, HostServer.layer), workspaceLayer])),
  )
})
