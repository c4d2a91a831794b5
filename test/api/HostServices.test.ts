/** What every contract's plugins may ask of their host, over gRPC and a real socket. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Billing, BillingPlugins } from "../../examples/own-contract/src/Billing.ts"
import { hostServices } from "../../src/api/HostServices.ts"
import { PluginApiServer } from "../../src/api/PluginApiServer.ts"
import { ServerVersion } from "../../src/command/ServerVersion.ts"
import {
  HostIdentity,
  HostKeyValues,
  HostLog,
  HostSettings,
  LogLevel,
} from "../../src/generated/plugin_supervisor/v1/host_services_pb.js"
import * as GrpcClient from "../../src/grpc/GrpcClient.ts"
import * as HostServer from "../../src/goplugin/HostServer.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import type { RpcClient } from "../../src/rpc/RpcClient.ts"
import { PluginSettings } from "../../src/storage/PluginSettings.ts"
import { PluginStorage } from "../../src/storage/PluginStorage.ts"
import { temporaryFolder } from "../support/folder.ts"
import { recordLog } from "../support/log.ts"

const { deleteAllValues, deleteValue, getValue, listKeys, setValue } = HostKeyValues.method
const bytes = (text: string) => new TextEncoder().encode(text)

/** The connection of a plugin. */
const connect = Effect.fnUntraced(function* (pluginId: string) {
  const server = yield* PluginApiServer
  const settings_schema = { settings: [{ key: "Rate", type: "number" as const, default: 20 }] }
  const caller = {
    pluginId,
    bundlePath: `/plugins/${pluginId}`,
    manifest: { id: pluginId, name: "N", settings_schema },
  }
  const api = { contract: Billing, methods: (yield* BillingPlugins.Api) as never, others: yield* hostServices(Billing) }
  const target = yield* server.serve(api, caller, yield* temporaryFolder)
  return yield* GrpcClient.make(target)
})

const host = Layer.mergeAll(
  Layer.provide(PluginApiServer.layer, HostServer.layer),
  BillingPlugins.layerApi({}),
  Layer.succeed(ServerVersion, "3.2.1"),
)
const stored = Layer.merge(host, PluginStorage.layerMemory)

const status = (call: Effect.Effect<unknown, { readonly status: string; readonly details: string }>) =>
  Effect.map(Effect.flip(call), ({ details, status }) => `${status}: ${details}`)

describe("the services of every host", () => {
  it.live("keep keys and values, each plugin's apart", () =>
    Effect.gen(function* () {
      const one = yield* connect("one")
      const two = yield* connect("two")
      const set = (client: RpcClient, key: string, value: string, more: object = {}) =>
        Effect.map(client.unary(setValue, { key, value: bytes(value), ...more }), ({ isSet }) => isSet)
      const get = (client: RpcClient, key: string) =>
        Effect.map(client.unary(getValue, { key }), ({ value }) => value && new TextDecoder().decode(value))

      assert.isTrue(yield* set(one, "a", "1"))
      assert.strictEqual(yield* get(one, "a"), "1")
      assert.isUndefined(yield* get(two, "a"))
      assert.isTrue(yield* set(one, "empty", ""))
      assert.strictEqual(yield* get(one, "empty"), "", "an empty value is one")
      assert.isFalse(yield* set(one, "a", "2", { condition: { case: "ifAbsent", value: true } }))
      assert.isFalse(yield* set(one, "a", "2", { condition: { case: "ifEqual", value: bytes("2") } }))
      assert.isTrue(yield* set(one, "a", "2", { condition: { case: "ifEqual", value: bytes("1") } }))
      assert.isTrue(yield* set(one, "gone", "x", { expiresInMillis: -1n }))
      assert.isUndefined(yield* get(one, "gone"))

      assert.deepStrictEqual((yield* one.unary(listKeys, {})).keys, ["a", "empty"])
      assert.deepStrictEqual((yield* one.unary(listKeys, { after: "a", limit: 1 })).keys, ["empty"])
      assert.deepStrictEqual((yield* one.unary(listKeys, { prefix: "e" })).keys, ["empty"])
      assert.isFalse((yield* one.unary(deleteValue, { key: "a", ifEqual: bytes("1") })).isDeleted)
      assert.isTrue((yield* one.unary(deleteValue, { key: "a" })).isDeleted)
      yield* set(two, "b", "2")
      yield* one.unary(deleteAllValues, {})
      assert.deepStrictEqual((yield* one.unary(listKeys, {})).keys, [])
      assert.deepStrictEqual((yield* two.unary(listKeys, {})).keys, ["b"])

      assert.match(yield* status(set(one, "", "x")), /^INVALID_ARGUMENT: host\.key: .*1 to 500 characters/)
      const large = one.unary(setValue, { key: "large", value: new Uint8Array(9 * 1024 * 1024) })
      assert.match(yield* status(large), /^RESOURCE_EXHAUSTED: host\.value_too_large/)
      const never = set(one, "a", "x", { condition: { case: "ifAbsent", value: false } })
      assert.match(yield* status(never), /^INVALID_ARGUMENT: host\.condition/)
    }).pipe(Effect.scoped, Effect.provide(stored)),
  )

  it.live("hand out settings, and say who the host is", () =>
    Effect.gen(function* () {
      const client = yield* connect("one")
      yield* (yield* PluginSettings).save({ one: { country: "FR", nested: { list: [1, true, null] } }, two: { x: 1 } })
      assert.deepStrictEqual((yield* client.unary(HostSettings.method.getSettings, {})).settings, {
        Rate: 20,
        country: "FR",
        nested: { list: [1, true, null] },
      })
      assert.deepInclude(yield* client.unary(HostIdentity.method.describeHost, {}), {
        pluginId: "one",
        bundlePath: "/plugins/one",
        hooksService: "billing.v1.BillingHooks",
        apiService: "billing.v1.BillingApi",
        hostVersion: "3.2.1",
      })
    }).pipe(Effect.scoped, Effect.provide(stored)),
  )

  it.live("log in the plugin's own name, within bounds", () => {
    const log = recordLog()
    return Effect.gen(function* () {
      const client = yield* connect("one")
      const fields = { plugin_id: "two", invoice: "7" }
      yield* client.unary(HostLog.method.log, { level: LogLevel.WARNING, message: "m".repeat(20_000), fields })
      yield* client.unary(HostLog.method.log, { message: "without a level" })
      const [warned, told] = log.entries
      assert.strictEqual(warned?.level, "Warn")
      assert.strictEqual(warned?.message.length, 16_385)
      assert.deepInclude(warned?.fields, { plugin_id: "one", invoice: "7" })
      assert.strictEqual(told?.level, "Info")
    }).pipe(Effect.scoped, Effect.provide(host), Effect.provide(log.layer))
  })

  it.live("answer that they are not implemented, where the backend has no store", () =>
    Effect.gen(function* () {
      const client = yield* connect("one")
      const missing = (method: string, what: string) =>
        `UNIMPLEMENTED: api.plugin.not_implemented: The host does not implement ${method}: ${what}`
      assert.strictEqual(
        yield* status(client.unary(getValue, { key: "a" })),
        missing("GetValue", "it has no keys and values; its backend has to provide PluginStorage"),
      )
      assert.strictEqual(
        yield* status(client.unary(HostSettings.method.getSettings, {})),
        missing("GetSettings", "it has no settings; its backend has to provide PluginStorage"),
      )
      assert.strictEqual(
        yield* status(client.unary(Billing.api.method.getCustomer, { id: "a" })),
        missing("GetCustomer", "its backend leaves it out"),
      )
    }).pipe(Effect.scoped, Effect.provide(host)),
  )

  it.effect("are none where a contract has rpcs of its own for them", () =>
    Effect.map(hostServices(MattermostContract), (services) => assert.lengthOf(services, 0)),
  )
})
