import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { BillingPlugins } from "../../examples/own-contract/src/Billing.ts"
import { PythonEnvironment } from "../../src/command/PythonEnvironment.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { PluginStorage } from "../../src/storage/PluginStorage.ts"
import { temporaryFolder } from "../support/folder.ts"
import { recordLog } from "../support/log.ts"

describe("what a host has", () => {
  /** What is logged when hosts have started. */
  const started = <A, E>(host: (directory: string) => Layer.Layer<A, E, NodeServices.NodeServices>) =>
    Effect.gen(function* () {
      const log = recordLog()
      yield* Layer.build(Layer.provide(host(yield* temporaryFolder), [NodeServices.layer, log.layer]))
      return log.entries.filter(({ message }) => message.startsWith("the host of "))
    })

  it.live("is said when it starts, and what its backend leaves out", () =>
    Effect.gen(function* () {
      const [line, ...more] = yield* started((directory) =>
        BillingPlugins.layerFolder({ directory }).pipe(Layer.provide(BillingPlugins.layerApi({}))),
      )
      assert.deepStrictEqual(more, [])
      assert.deepInclude(line, {
        level: "Info",
        message:
          "the host of billing.v1.BillingHooks has none of the optional services; lacks keys and values, settings, installed bundles, Python environments; leaves out of its API GetCustomer",
      })
    }).pipe(Effect.scoped),
  )

  it.live("is no more than what it has, where nothing is missing of it", () =>
    Effect.gen(function* () {
      const [line] = yield* started((directory) =>
        BillingPlugins.layerFolder({ directory }).pipe(
          Layer.provide(BillingPlugins.layerApi({ getCustomer: () => Effect.succeed({}) })),
          Layer.provide(PluginStorage.layerMemory),
          Layer.provide(PythonEnvironment.layerTest("/usr/bin/python3")),
        ),
      )
      assert.strictEqual(
        line?.message,
        "the host of billing.v1.BillingHooks has keys and values, settings, Python environments; lacks installed bundles",
      )
    }).pipe(Effect.scoped),
  )

  it.live("names a few of many methods", () =>
    Effect.gen(function* () {
      const [line] = yield* started((directory) =>
        MattermostPlugins.layerFolder({ directory }).pipe(Layer.provide(MattermostPlugins.layerApi({}))),
      )
      assert.match(line?.message ?? "", /leaves out of its API (\w+, ){10}and \d{3} more$/)
    }).pipe(Effect.scoped),
  )
})
