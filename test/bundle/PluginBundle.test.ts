import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { folder, type Node } from "../support/folder.ts"

const live = PluginBundles.layer.pipe(Layer.provide(NodeServices.layer))
const json = (id: string) => JSON.stringify({ id, name: id })

const discover = Effect.fnUntraced(function* (files: { readonly [path: string]: Node }) {
  const root = yield* folder(files)
  const found = yield* (yield* PluginBundles).discover(root)
  return found.map((entry) =>
    Result.isSuccess(entry) ? entry.success.manifest.id : entry.failure.message.replaceAll(root, ""),
  )
})

describe("PluginBundles", () => {
  const live_ = <A, E>(effect: Effect.Effect<A, E, PluginBundles | import("effect").Scope.Scope>) =>
    effect.pipe(Effect.scoped, Effect.provide(live))

  it.effect("takes plugin.yml before plugin.yaml before plugin.json", () =>
    live_(
      Effect.gen(function* () {
        const { load } = yield* PluginBundles
        const yml = "id: from-yml\nname: x\n"
        const yaml = "id: from-yaml\nname: x\n"
        const all = yield* folder({ "plugin.yml": yml, "plugin.yaml": yaml, "plugin.json": json("from-json") })
        assert.strictEqual((yield* load(all)).manifest.id, "from-yml")
        const two = yield* folder({ "plugin.yaml": yaml, "plugin.json": json("from-json") })
        assert.strictEqual((yield* load(two)).manifest.id, "from-yaml")
        assert.strictEqual((yield* load(two)).directory, two)
      }),
    ),
  )

  it.effect("does not fall back from a broken YAML to a good JSON", () =>
    live_(
      Effect.gen(function* () {
        const root = yield* folder({ "plugin.yml": "id: [", "plugin.json": json("good") })
        const error = yield* Effect.flip((yield* PluginBundles).load(root))
        assert.strictEqual(error._tag, "ManifestError")
        assert.include(error.message, join(root, "plugin.yml"))
      }),
    ),
  )

  it.effect("discovers bundles by the names of their folders and passes over what is none", () =>
    live_(
      Effect.gen(function* () {
        const found = yield* discover({
          "b/plugin.json": json("plugin-b"),
          "a/plugin.json": json("plugin-a"),
          ".hidden/plugin.json": json("hidden"),
          "no-manifest/readme.txt": "",
          "nested/deeper/plugin.json": json("nested"),
          "plugin.json": json("not-a-folder"),
        })
        assert.deepStrictEqual(found, ["plugin-a", "plugin-b"])
      }),
    ),
  )

  it.effect("reports a broken bundle and goes on", () =>
    live_(
      Effect.gen(function* () {
        const [first, second] = yield* discover({ "a/plugin.json": "{", "b/plugin.json": json("plugin-b") })
        assert.include(first, "/a/plugin.json is not a valid plugin manifest")
        assert.strictEqual(second, "plugin-b")
      }),
    ),
  )

  it.effect("keeps the first of two bundles with one id, and names both", () =>
    live_(
      Effect.gen(function* () {
        const found = yield* discover({ "a/plugin.json": json("same"), "b/plugin.json": json("SAME") })
        assert.strictEqual(found[0], "same")
        assert.include(found[1], "/b: its id same is taken by /a")
      }),
    ),
  )

  it.effect("fails for a folder that isn't there", () =>
    live_(
      Effect.gen(function* () {
        const error = yield* Effect.flip((yield* PluginBundles).discover("/no/such/folder"))
        assert.include(error.message, "/no/such/folder")
      }),
    ),
  )
})
