/** Modules that bring a contract to the daemon, and some that don't. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { BillingPlugins } from "../../examples/own-contract/src/Billing.ts"
import { contractLayer, loadBackend } from "../../src/cli/ContractBackend.ts"
import { cli } from "../support/cli.ts"
import { folder, temporaryFolder } from "../support/folder.ts"
import { unset } from "../support/served.ts"

/** What is said of a module with this text. */
const refusal = (text: string) =>
  Effect.gen(function* () {
    const file = join(yield* temporaryFolder, "backend.mjs")
    writeFileSync(file, text)
    return String((yield* Effect.flip(loadBackend(file))).cause)
  })

describe("loadBackend", () => {
  it.effect("takes a host, and what is behind its API", () =>
    Effect.gen(function* () {
      const file = join(import.meta.dirname, "../../examples/own-contract/src/serve.ts")
      const { api, host, pythonPackages } = yield* loadBackend(file)
      assert.strictEqual(host.key, BillingPlugins.key)
      assert.isDefined(api)
      assert.deepStrictEqual(pythonPackages, [join(file, "../../billing-plugin")])
    }),
  )

  it.effect("says what a module lacks", () =>
    Effect.gen(function* () {
      assert.match(yield* refusal("export const host = 1"), /backend\.mjs has to export the host of its plugins/)
      assert.match(yield* refusal("export default { host: class {} }"), /a class made by PluginHost\.Service/)
      assert.match(
        yield* refusal("export default { host: { layerFolder() {} }, api: {} }"),
        /the api that .* exports is no Layer; make it by layerApi/,
      )
      assert.match(
        yield* refusal("export default { host: { layerFolder() {} }, pythonPackages: 'billing-plugin' }"),
        /the pythonPackages that .* exports are no list of requirements and paths/,
      )
      assert.match(yield* refusal("throw new Error('broken')"), /can't be loaded: broken/)
      assert.match(yield* refusal("export default {"), /can't be loaded: /)
    }).pipe(Effect.scoped),
  )
})

describe("--backend", () => {
  it.live("says of a module that is not there where it was looked for", () =>
    Effect.gen(function* () {
      const root = yield* folder({})
      const { code, stderr } = yield* cli(["check", ".", "--backend", "nofile.ts"], { cwd: root })
      assert.strictEqual(code, 2)
      assert.include(stderr, `Invalid value for flag --backend: "nofile.ts". Path does not exist: ${root}/nofile.ts`)
    }).pipe(Effect.scoped),
  )
})

describe("contractLayer", () => {
  it.live("works in a data folder in which no other host does", () =>
    Effect.gen(function* () {
      const root = yield* folder({ plugins: { folder: true } })
      const backend = yield* loadBackend(join(import.meta.dirname, "../../examples/own-contract/src/serve.ts"))
      const layer = contractLayer(yield* unset(root), backend).pipe(Layer.provide(NodeServices.layer))
      // They end with their Scopes.
      const start = Layer.build(Layer.fresh(layer))
      yield* Effect.scoped(start)
      yield* start
      const refused = yield* Effect.flip(start)
      assert.match(String(refused), /is in use by another process; end it, or use another folder/)
    }).pipe(Effect.scoped),
  )
})
