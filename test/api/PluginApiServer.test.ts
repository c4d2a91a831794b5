/** The door of the host API: what a plugin asks for and what it is answered, over gRPC and a real socket. */
import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, References } from "effect"
import { PluginApiError } from "../../src/api/PluginApi.ts"
import { PluginApiServer } from "../../src/api/PluginApiServer.ts"
import { PluginAPI } from "../../src/generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { UserSchema } from "../../src/generated/mattermost/pluginapi/v1/user_pb.js"
import * as GrpcClient from "../../src/grpc/GrpcClient.ts"
import * as HostServer from "../../src/goplugin/HostServer.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import type { RpcClient } from "../../src/rpc/RpcClient.ts"
import { statusCode } from "../../src/rpc/RpcError.ts"
import { type MattermostApiMethods, MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { errorStatus } from "../../src/rpc/ErrorStatus.ts"
import { temporaryFolder } from "../support/folder.ts"

const { method } = PluginAPI

/** A plugin's connection to a host with these methods, and what the host logs meanwhile. */
const connected = <A, E>(
  methods: MattermostApiMethods,
  use: (client: RpcClient, log: ReadonlyArray<string>) => Effect.Effect<A, E>,
) => {
  const log: Array<string> = []
  const logger = Logger.make<unknown, void>(({ cause, message }) =>
    log.push([message, cause].flat().map(String).join(" ")),
  )
  return Effect.gen(function* () {
    const server = yield* PluginApiServer
    const offered = { contract: MattermostContract, methods: (yield* MattermostPlugins.Api) as never }
    const target = yield* server.serve(
      offered,
      { pluginId: "p", bundlePath: "/nowhere", manifest: { id: "p", name: "P" } },
      yield* temporaryFolder,
    )
    return yield* use(yield* GrpcClient.make(target), log)
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.provide(PluginApiServer.layer, HostServer.layer)),
    Effect.provide(MattermostPlugins.layerApi(methods)),
    Effect.provide(Logger.layer([logger])),
    Effect.provideService(References.MinimumLogLevel, "All"),
  )
}

describe("what a plugin asks for", () => {
  it.live("is refused where it could not be sent on or stored, by the field's name, before the backend sees it", () => {
    let calls = 0
    const createPost = () => Effect.sync(() => ({ post: { message: String(++calls) } }))
    return connected({ createPost }, (client) =>
      Effect.gen(function* () {
        const post = (fields: object) => client.unary(method.createPost, { post: { message: "m", ...fields } })
        assert.strictEqual((yield* post({ props: { a: [1, "é😀"] } })).post?.message, "1")
        let deep: object = {}
        for (let level = 0; level < 33; level++) deep = { a: deep }
        const cases: ReadonlyArray<readonly [post: object, where: string]> = [
          [{ createAt: 2n ** 60n }, "post.create_at is an integer beyond"],
          [{ props: { a: [Number.NaN] } }, "post.props.a[0] is not a finite number"],
          [{ props: { a: Number.POSITIVE_INFINITY } }, "post.props.a is not a finite number"],
          [{ props: deep }, "post.props.a.a.a"],
          [{ props: { n: Array.from({ length: 500_000 }, () => 1) } }, "post.props.n[99"],
        ]
        for (const [fields, where] of cases) {
          const { error } = yield* post(fields)
          assert.deepInclude(error, { id: "api.context.invalid_body_param.app_error", statusCode: 400 })
          assert.include(error?.message ?? "", where)
        }
        assert.strictEqual(calls, 1)
        // Of what only looks small nothing is made at all.
        const user = create(UserSchema)
        const users = create(PostSchema, { participants: Array.from({ length: 200_000 }, () => user) })
        const large = yield* Effect.flip(client.unary(method.createPost, { post: users }))
        assert.strictEqual(large.code, statusCode.INTERNAL)
        assert.strictEqual((yield* post({})).post?.message, "2")
      }),
    )
  })
})

describe("what a plugin is answered", () => {
  it.live("has a status that is an error's, whatever the backend's error says", () => {
    const wrong = [0, 99, 199, 200, 204, 304, 399, 600, -1, 2 ** 31 - 1]
    for (const status of wrong) assert.strictEqual(errorStatus(status), 500)
    for (const status of [400, 404, 418, 599]) assert.strictEqual(errorStatus(status), status)
    const fail = ({ key }: { readonly key: string }) =>
      Effect.fail(new PluginApiError({ id: "app.x", message: "no", statusCode: Number(key) }))
    return connected({ kVGet: fail }, (client) =>
      Effect.gen(function* () {
        for (const key of wrong) {
          const { error } = yield* client.unary(method.kVGet, { key: String(key) })
          assert.deepInclude(error, { id: "app.x", message: "no", statusCode: 500, where: "KVGet" })
        }
        const { error } = yield* client.unary(method.kVGet, { key: "404" })
        assert.strictEqual(error?.statusCode, 404)
      }),
    )
  })

  it.live("is an error of the host's, and a line in its log, when nobody foresaw what happened", () =>
    connected(
      {
        kVGet: () => Effect.die(new Error("the secret cause")),
        kVList: () => {
          throw new Error("thrown")
        },
        // Nothing that a plugin could not read goes out, either.
        getPost: () => Effect.succeed({ post: { props: { a: Number.NaN } } }),
        getUser: () => Effect.succeed({ user: { createAt: 2n ** 60n } }),
        // What a backend in JavaScript may answer.
        getTeam: () => Effect.succeed({ team: { id: 7 } } as never),
        getServerVersion: () => Effect.succeed({ version: "1.0.0" }),
      },
      (client, log) =>
        Effect.gen(function* () {
          const failures = [
            yield* client.unary(method.kVGet, {}),
            yield* client.unary(method.kVList, {}),
            yield* client.unary(method.getPost, {}),
            yield* client.unary(method.getUser, {}),
            yield* client.unary(method.getTeam, {}),
          ]
          for (const { error } of failures) {
            assert.deepInclude(error, { id: "app.host.internal.app_error", statusCode: 500 })
            assert.notInclude(error?.message ?? "", "secret")
          }
          for (const line of [
            "KVGet of the host API failed",
            "the secret cause",
            "KVList of the host API failed",
            "in its answer post.props.a is not a finite number",
            "in its answer user.create_at is an integer beyond",
            "in its answer team.id is not a text",
          ]) {
            assert.isTrue(
              log.some((entry) => entry.includes(line)),
              `${line} in ${log.join("\n")}`,
            )
          }
          assert.strictEqual((yield* client.unary(method.getServerVersion, {})).version, "1.0.0")
        }),
    ),
  )
})
