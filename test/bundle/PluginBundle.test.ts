import { execFileSync } from "node:child_process"
import { rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, type Scope } from "effect"
import { MANIFEST_LIMIT } from "../../src/bundle/ManifestText.ts"
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
  const live_ = <A, E>(effect: Effect.Effect<A, E, PluginBundles | Scope.Scope>) =>
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

  it.effect("discovers bundles by the names of their folders, and tells once what it passed over", () =>
    live_(
      Effect.gen(function* () {
        const found = yield* discover({
          "b/plugin.json": json("plugin-b"),
          "a/plugin.json": json("plugin-a"),
          ".hidden/plugin.json": json("hidden"),
          "no-manifest/readme.txt": "",
          "nested/deeper/plugin.json": json("nested"),
          "README.md": "a file is nobody's plugin",
          "packed-1.0.tar.gz": "",
          "packed.ZIP": "",
          dangling: { link: "gone" },
          circle: { link: "circle" },
        })
        assert.deepStrictEqual(found, [
          "plugin-a",
          "plugin-b",
          "passed over in : circle is a link that leads nowhere; dangling is a link that leads nowhere; " +
            "nested has no manifest, but /nested/deeper has: the plugin is one folder too deep; " +
            "no-manifest has no manifest (plugin.json); packed-1.0.tar.gz is packed: unpack it into a folder of its own; " +
            "packed.ZIP is packed: unpack it into a folder of its own",
        ])
      }),
    ),
  )

  it.effect("says that there are no plugins, and what there is", () =>
    live_(
      Effect.gen(function* () {
        const { discover } = yield* PluginBundles
        const message = Effect.fnUntraced(function* (files: { readonly [path: string]: Node }, at = "") {
          const root = yield* folder(files)
          const [only, ...others] = yield* discover(join(root, at))
          assert.isEmpty(others)
          const isTold = only !== undefined && Result.isFailure(only) && only.failure._tag === "PassedOverError"
          return isTold && only.failure.isWithoutPlugins ? only.failure.message.replaceAll(root, "") : undefined
        })
        assert.strictEqual(
          yield* message({ ".git/x": "", "plugin.txt": "" }, "."),
          "there are no plugins in : each would be a folder with a plugin.json",
        )
        assert.strictEqual(
          yield* message({ "plugins/one/plugin.yml": "id: one", "plugins/one/assets/x": "" }, "plugins/one"),
          "there are no plugins in /plugins/one: it is a plugin itself; give the folder that holds it, /plugins",
        )
        const many = Object.fromEntries(
          Array.from({ length: 100 }, (_, index) => [`f${index}`, { folder: true }] as const),
        )
        const summed = yield* message(many)
        assert.match(summed ?? "", /^there are no plugins in : f0 has no manifest .*; 90 more$/)
        assert.isBelow(summed?.length ?? 0, 1000)
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

  it.effect("reports manifests that are no files, and waits for none of them", () =>
    live_(
      Effect.gen(function* () {
        const root = yield* folder({ "a/plugin.json": { folder: true }, "b/readme.txt": "", "c/plugin.yml": "" })
        if (process.platform !== "win32") execFileSync("mkfifo", [join(root, "b/plugin.json")])
        const found = yield* (yield* PluginBundles).discover(root)
        const messages = found.map((entry) => (Result.isFailure(entry) ? entry.failure.message : "a bundle"))
        assert.include(messages.shift(), "/a/plugin.json is no file")
        if (process.platform !== "win32") assert.include(messages.shift(), "/b/plugin.json is no file")
        assert.include(messages.shift(), "/c/plugin.yml is not a valid plugin manifest")
        assert.isEmpty(messages)
      }),
    ),
  )

  it.effect("reports a folder in which it can't look for a manifest, or finds none where one leads", () =>
    live_(
      Effect.gen(function* () {
        const [first, second, third] = yield* discover({
          "a/plugin.yml": { link: "plugin.yml" },
          "b/plugin.json": json("plugin-b"),
          "c/plugin.json": { link: "gone.json" },
        })
        assert.include(first, "/a: it can't be read")
        assert.strictEqual(second, "plugin-b")
        assert.include(third, '/c: the path "plugin.json" in the bundle /c doesn\'t exist')
      }),
    ),
  )

  it.effect("follows a link to a bundle, and answers where it leads", () =>
    live_(
      Effect.gen(function* () {
        const elsewhere = yield* folder({ "plugin.json": json("linked") })
        const root = yield* folder({ "a-link": { link: elsewhere } })
        const found = yield* (yield* PluginBundles).discover(root)
        assert.deepStrictEqual(
          found.map((entry) => Result.isSuccess(entry) && entry.success.directory),
          [elsewhere],
        )
      }),
    ),
  )

  it.effect("tells what a folder lacks", () =>
    live_(
      Effect.gen(function* () {
        const { load } = yield* PluginBundles
        const empty = yield* folder({ "readme.txt": "" })
        const none = yield* Effect.flip(load(empty))
        assert.strictEqual(none._tag, "BundleError")
        assert.include(none.message, `${empty}: it has no manifest`)
        const gone = yield* Effect.flip(load(join(empty, "gone")))
        assert.strictEqual(gone._tag, "BundleError")
        assert.include(gone.message, join(empty, "gone"))
      }),
    ),
  )

  it.effect("reads no manifest through a link out of the bundle, and quotes nothing of it", () =>
    live_(
      Effect.gen(function* () {
        const outside = yield* folder({ secret: "root:x:0:0" })
        const [first, second, third] = yield* discover({
          "a/plugin.json": { link: join(outside, "secret") },
          "b/plugin.json": { link: "manifest/real.json" },
          "b/manifest/real.json": json("inside"),
          "c/plugin.yml": { link: "/dev/zero" },
        })
        assert.include(first, "leads outside of the bundle")
        assert.notInclude(first, "root:x")
        assert.strictEqual(second, "inside")
        assert.include(third, "leads outside of the bundle")
      }),
    ),
  )

  it.effect("reads no more of a manifest than it may have, whatever its size is", () =>
    live_(
      Effect.gen(function* () {
        const { load } = yield* PluginBundles
        const bundle = yield* folder({ "plugin.json": "" })
        truncateSync(join(bundle, "plugin.json"), 2 ** 40)
        assert.include((yield* Effect.flip(load(bundle))).message, "more than 1048576 bytes")
        const fits = json("fits").padEnd(MANIFEST_LIMIT)
        writeFileSync(join(bundle, "plugin.json"), fits)
        assert.strictEqual((yield* load(bundle)).manifest.id, "fits")
        writeFileSync(join(bundle, "plugin.json"), `${fits} `)
        yield* Effect.flip(load(bundle))
      }),
    ),
  )

  it.effect("keeps what it has loaded until the manifest is another", () =>
    live_(
      Effect.gen(function* () {
        const { load } = yield* PluginBundles
        const bundle = yield* folder({ "plugin.yml": "id: one\nname: a\n" })
        const first = yield* load(bundle)
        assert.strictEqual(yield* load(bundle), first)
        writeFileSync(join(bundle, "plugin.yml"), "id: two\nname: a\n")
        assert.strictEqual((yield* load(bundle)).manifest.id, "two")
        rmSync(join(bundle, "plugin.yml"))
        yield* Effect.flip(load(bundle))
      }),
    ),
  )

  it.effect("keeps the first of two bundles with one id, and names both", () =>
    live_(
      Effect.gen(function* () {
        const found = yield* discover({
          "a/plugin.json": json("same"),
          "b/plugin.json": json("SAME"),
          "c/plugin.json": json("other"),
          "d/plugin.json": json("same"),
        })
        assert.strictEqual(found[0], "same")
        assert.include(found[1], "/b: its id same is taken by /a")
        assert.strictEqual(found[2], "other")
        assert.include(found[3], "/d: its id same is taken by /a")
        assert.lengthOf(found, 4)
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
