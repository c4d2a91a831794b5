/** What is packed of an author's folder. */
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { unpackArchive } from "../../src/bundle/BundleArchive.ts"
import { readSource } from "../../src/bundle/BundleFolder.ts"
import { BundleLimits } from "../../src/bundle/BundleLimits.ts"
import { packBundle } from "../../src/bundle/BundlePack.ts"
import type { BundleRefusedError } from "../../src/bundle/BundleRefusedError.ts"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { folder } from "../support/folder.ts"

const live = PluginBundles.layer.pipe(Layer.provide(NodeServices.layer))
const test = <E>(name: string, body: Effect.Effect<void, E, PluginBundles | Scope.Scope>) =>
  it.live(name, () => body.pipe(Effect.scoped, Effect.provide(live)))

const manifest = JSON.stringify({ id: "Hello", name: "Hello" })
const plugin = {
  "plugin.json": manifest,
  "plugin.py": { executable: "print(1)\n" },
  "lib/größe.py": "x = 1\n",
  [`lib/${"n".repeat(200)}.py`]: "long",
  "tests/test_it.py": "",
  "wheels/some-1.0.tar.gz": "a source distribution",
}

describe("packBundle", () => {
  test(
    "makes what is unpacked to the same files, in a folder named by the id",
    Effect.gen(function* () {
      const root = yield* folder(plugin)
      const out = yield* folder({ "hello.tar.gz": "an older one" })
      const file = join(out, "hello.tar.gz")
      const packed = yield* packBundle(root, file)
      assert.strictEqual(packed.bundle.manifest.id, "hello")
      assert.deepStrictEqual(
        packed.files.map(({ path }) => path),
        Object.keys(plugin).sort(),
      )
      const { directory, files } = yield* unpackArchive(file, join(out, "unpacked"))
      assert.strictEqual(directory, join(out, "unpacked", "hello"))
      assert.deepStrictEqual(
        files.map(({ mode, path, size }) => ({ mode, path, size })),
        packed.files.map(({ mode, path, size }) => ({ mode, path, size })),
      )
      assert.strictEqual(readFileSync(join(directory, "lib/größe.py"), "utf8"), "x = 1\n")
      assert.deepStrictEqual(readdirSync(out), ["hello.tar.gz", "unpacked"])
      const listed = execFileSync("tar", ["-tvzf", file], { encoding: "utf8", env: { ...process.env, TZ: "UTC" } })
      assert.match(listed, /^-rwxr-xr-x 0\/0 +9 1970-01-01 00:00 hello\/plugin\.py$/m)
      assert.match(listed, /^drwxr-xr-x 0\/0 +0 1970-01-01 00:00 hello\/lib\/$/m)
    }),
  )

  test(
    "makes the same bytes of the same files, whenever and in whatever order they were made",
    Effect.gen(function* () {
      const one = yield* folder(plugin)
      const other = yield* folder(Object.fromEntries(Object.entries(plugin).toReversed()))
      utimesSync(join(other, "plugin.py"), 1, 1)
      chmodSync(join(other, "plugin.json"), 0o600)
      const out = yield* folder({})
      yield* packBundle(one, join(out, "1"))
      yield* packBundle(other, join(out, "2"))
      assert.isTrue(readFileSync(join(out, "1")).equals(readFileSync(join(out, "2"))))
      assert.strictEqual(gunzipSync(readFileSync(join(out, "1"))).length % 512, 0)
    }),
  )

  test(
    "leaves out what tools keep for themselves, wherever it is, and earlier archives; packing again changes nothing",
    Effect.gen(function* () {
      const root = yield* folder({
        ...plugin,
        ".git/config": "",
        ".env": "SECRET=1",
        ".venv/bin/python": { link: "/usr/bin/python3" },
        "env-of-mine/pyvenv.cfg": "",
        "env-of-mine/bin/python": { link: "/usr/bin/python3" },
        "lib/__pycache__/a.cpython-311.pyc": "",
        "lib/old.pyc": "",
        "lib/._resource": "",
        "webapp/node_modules/x/index.js": "",
        ".DS_Store": "",
        ".installed.json": "[]",
      })
      const file = join(root, "hello-1.0.0.tar.gz")
      const first = yield* packBundle(root, file)
      assert.deepStrictEqual(
        first.files.map(({ path }) => path),
        Object.keys(plugin).sort(),
      )
      const before = readFileSync(file)
      yield* packBundle(root, join(root, "again.TGZ"))
      assert.isTrue(before.equals(readFileSync(join(root, "again.TGZ"))))
    }),
  )

  test(
    "refuses what no host would install, and leaves no archive",
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [Parameters<typeof folder>[0], BundleRefusedError["kind"], string]> = [
        [{ "a/link": { link: "/etc/passwd" } }, "type", '"a/link" is a link'],
        [{ "a\nb": "" }, "path", '"a\\u{a}b" has a control character'],
        [{ A: "", a: "" }, "same", "case"],
        [{ "plugin.yml": manifest }, "root", "2 manifests"],
        [{ big: "x".repeat(1001) }, "limit", '"big" has more than 1000 bytes'],
      ]
      for (const [files, kind, says] of cases) {
        const root = yield* folder({ "plugin.json": manifest, ...files })
        const out = yield* folder({})
        const error = yield* packBundle(root, join(out, "a.tar.gz")).pipe(
          Effect.flip,
          Effect.provideService(BundleLimits, { ...BundleLimits.defaultValue(), file: 1000 }),
        )
        assert.deepInclude(error, { _tag: "BundleRefusedError", kind, source: root })
        assert.include(error.message, says)
        assert.deepStrictEqual(readdirSync(out), [])
      }
      const none = yield* folder({ "readme.md": "" })
      assert.include((yield* Effect.flip(packBundle(none, join(none, "a.tar.gz")))).message, "has no manifest")
    }),
  )

  test(
    "keeps the archive that is there when it can't write another",
    Effect.gen(function* () {
      const root = yield* folder(plugin)
      const out = yield* folder({})
      const error = yield* Effect.flip(packBundle(root, join(out, "missing", "a.tar.gz")))
      assert.include(error.message, "no such file")
      writeFileSync(join(out, "a.tar.gz"), "old")
      symlinkSync("/etc/passwd", join(root, "link"))
      yield* Effect.flip(packBundle(root, join(out, "a.tar.gz")))
      assert.strictEqual(readFileSync(join(out, "a.tar.gz"), "utf8"), "old")
      assert.isFalse(existsSync(join(out, "missing")))
    }),
  )

  test(
    "notices what becomes of a file while it is read",
    Effect.gen(function* () {
      const root = yield* folder({ "plugin.json": manifest, large: "x".repeat(2 * 1024 * 1024) })
      const { signal } = new AbortController()
      const read = (path: string, size: number) =>
        Effect.tryPromise({
          try: () => readSource(root, { path, size, mode: "0644" }, async () => {}, signal),
          catch: String,
        })
      for (const [path, size] of [
        ["plugin.json", 1],
        ["plugin.json", 1000],
        ["large", 2 * 1024 * 1024 - 1],
        ["large", 2 * 1024 * 1024 + 1],
      ] as const) {
        assert.include(yield* Effect.flip(read(path, size)), "has changed while it was read")
      }
      assert.strictEqual((yield* read("large", 2 * 1024 * 1024)).size, 2 * 1024 * 1024)
      renameSync(join(root, "large"), join(root, "elsewhere"))
      symlinkSync("elsewhere", join(root, "large"))
      assert.include(yield* Effect.flip(read("large", 2 * 1024 * 1024)), "ELOOP")
    }),
  )
})
