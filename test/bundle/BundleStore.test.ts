/** Staging, committing, removing and sweeping of bundles, and what becomes of those that were tampered with. */
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { type BundleModifiedError, checkIntegrity } from "../../src/bundle/BundleIntegrity.ts"
import { signBundle, SignaturePolicy } from "../../src/bundle/BundleSignature.ts"
import { BundleStore, type InstalledBundle } from "../../src/bundle/BundleStore.ts"
import { refuseDowngrade } from "../../src/bundle/BundleVersion.ts"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { makeSigningKey, readPrivateKey, readTrustedKeys } from "../../src/bundle/SigningKey.ts"
import { checkReach } from "../../src/process/ProcessUser.ts"
import { snippets } from "../support/documents.ts"
import { folder, temporaryFolder } from "../support/folder.ts"
import { mayChangeUser, NOBODY } from "../support/privileges.ts"
import { archive, entry } from "./tarBytes.ts"

const layer = (directory: string) =>
  Layer.fresh(
    BundleStore.layer(directory).pipe(Layer.provideMerge(PluginBundles.layer), Layer.provide(NodeServices.layer)),
  )

/** A test with a store of its own, and its folder. */
const test = <E>(
  name: string,
  body: (directory: string) => Effect.Effect<void, E, BundleStore | PluginBundles | Scope.Scope>,
) =>
  it.live(name, () =>
    Effect.gen(function* () {
      const directory = join(yield* temporaryFolder, "data", "plugins")
      yield* Effect.provide(body(directory), layer(directory))
    }).pipe(Effect.scoped),
  )

const tarball = (fields: object = {}, files: Readonly<Record<string, string>> = {}) =>
  new Uint8Array(
    archive(
      entry("hello/plugin.json", {
        content: JSON.stringify({ id: "hello", name: "Hello", version: "1.0.0", ...fields }),
      }),
      entry("hello/run", { content: "#!/bin/sh\n", mode: 0o755 }),
      ...Object.entries(files).map(([path, content]) => entry(`hello/${path}`, { content })),
    ),
  )
const upload = (fields?: object, files?: Readonly<Record<string, string>>) => ({
  archive: Stream.make(tarball(fields, files)),
})

const install = (fields?: object, files?: Readonly<Record<string, string>>) =>
  Effect.scoped(
    Effect.flatMap(BundleStore, (store) => Effect.flatMap(store.stage(upload(fields, files)), store.commit)),
  )

/** All files in the store, by their paths. */
const all = (directory: string) =>
  readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((file) => !file.isDirectory())
    .map((file) => join(file.parentPath, file.name).slice(directory.length + 1))
    .sort()

describe("a bundle store", () => {
  test("has what it is given in a folder named by id, version and content, for its user alone", (directory) =>
    Effect.gen(function* () {
      const installed = yield* install({}, { "sub/file": "" })
      assert.strictEqual(installed.path, `hello/1.0.0-${installed.hash.slice(0, 16)}`)
      assert.deepInclude(installed, { version: "1.0.0", signedBy: undefined })
      assert.strictEqual(installed.bundle.directory, join(directory, installed.path))
      assert.strictEqual(installed.bundle.manifest.id, "hello")
      assert.deepStrictEqual(
        all(directory),
        [".installed.json", "plugin.json", "run", "sub/file"].map((file) => join(installed.path, file)),
      )
      for (const [path, mode] of [
        ["", 0o700],
        [".staging", 0o700],
        [".trash", 0o700],
        ["hello", 0o755 & ~process.umask()],
        [installed.path, 0o755],
        [join(installed.path, "sub"), 0o755 & ~process.umask()],
        [join(installed.path, "run"), 0o755],
        [join(installed.path, "plugin.json"), 0o644],
      ] as const) {
        assert.strictEqual(statSync(join(directory, path)).mode & 0o777, mode, path)
      }
      yield* checkIntegrity(installed.bundle.directory, installed.hash)
      const opened = yield* (yield* BundleStore).open(installed.path)
      assert.deepStrictEqual(opened, installed.bundle)
    }))

  it.live.skipIf(process.platform !== "linux")("says so, and waits for nothing, where its folder can't be made", () =>
    Effect.gen(function* () {
      for (const place of ["/proc/nowhere", "/proc/nowhere/bundles"]) {
        const error = yield* Effect.flip(Effect.provide(Effect.asVoid(BundleStore), layer(place)))
        assert.strictEqual(error._tag, "BundleStoreError")
      }
    }),
  )

  it.live.skipIf(!mayChangeUser || (process.umask() & 0o5) !== 0)(
    "is open to plugins of another user once its operator opens two folders",
    () =>
      Effect.gen(function* () {
        const root = yield* temporaryFolder
        chmodSync(root, 0o711)
        const store = join(root, "data/bundles")
        const { bundle } = yield* Effect.provide(install({}, { "sub/file": "" }), layer(store))
        const reach = Effect.forEach(["run", "sub/file", "plugin.json"], (path) =>
          checkReach("hello", NOBODY, [{ path: join(bundle.directory, path), access: "r" }]),
        )
        const error = yield* Effect.flip(reach)
        assert.include(error.message, "it may not read")
        execFileSync("sh", ["-c", snippets("docs/limits.md", "sh").find((text) => text.startsWith("chmod"))!], {
          cwd: root,
        })
        yield* reach
        const closed = yield* Effect.flip(checkReach("hello", NOBODY, [{ path: store, access: "r" }]))
        assert.include(closed.message, "it may not read")
      }).pipe(Effect.scoped),
  )

  test("keeps nothing of what is staged and not committed, whether it is left, fails or is interrupted", (directory) =>
    Effect.gen(function* () {
      const store = yield* BundleStore
      const scope = yield* Scope.make()
      const staged = yield* Scope.provide(store.stage(upload()), scope)
      assert.isTrue(existsSync(join(staged.bundle.directory, "plugin.json")))
      assert.isTrue(staged.bundle.directory.startsWith(join(directory, ".staging")))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(all(directory), [])

      const stalled = yield* Deferred.make<void>()
      const never = Stream.concat(
        Stream.make(tarball().subarray(0, 100)),
        Stream.fromEffect(Effect.andThen(Deferred.succeed(stalled, undefined), Effect.never)),
      )
      const fiber = yield* Effect.forkChild(Effect.scoped(store.stage({ archive: never })))
      yield* Deferred.await(stalled)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(readdirSync(join(directory, ".staging")), [])

      const failures = [
        [
          upload({ name: "" }),
          "ManifestError",
          "plugin.json is not a valid plugin manifest; mend this: name: expected some text",
        ],
        [upload({ id: ".staging" }), "ManifestError", "does not begin with a dot"],
        [upload({ id: "..." }), "ManifestError", "does not begin with a dot"],
        [upload({ id: "../hello" }), "ManifestError", "expected 3 to 190 characters"],
        [{ archive: Stream.make(new Uint8Array(archive(entry("../evil")))) }, "BundleRefusedError", "leads out"],
        [{ archive: join(directory, "missing.tar.gz") }, "BundleRefusedError", "no such file"],
        [{ folder: join(directory, "missing") }, "BundleRefusedError", "no such file"],
        [{ folder: yield* folder({ "readme.md": "" }) }, "BundleRefusedError", "has no manifest"],
        [
          { folder: yield* folder({ "plugin.json": "{}", link: { link: "/" } }) },
          "BundleRefusedError",
          '"link" is a link',
        ],
      ] as const
      for (const [source, tag, says] of failures) {
        const error = yield* Effect.flip(Effect.scoped(store.stage(source)))
        assert.strictEqual(error._tag, tag)
        assert.include(error.message, says)
        assert.notInclude(error.message, ".staging/", "the staging is nobody's business")
        assert.deepStrictEqual(readdirSync(join(directory, ".staging")), [])
      }
    }))

  test("takes a folder as it would be packed, and leaves the folder alone", (directory) =>
    Effect.gen(function* () {
      const store = yield* BundleStore
      const source = yield* folder({
        "plugin.json": JSON.stringify({ id: "Hello", name: "Hello" }),
        run: { executable: "#!/bin/sh\n" },
        ".git/config": "",
        "lib/__pycache__/x.pyc": "",
      })
      const { bundle, path, version } = yield* Effect.scoped(
        Effect.flatMap(store.stage({ folder: source }), store.commit),
      )
      assert.strictEqual(version, "")
      assert.match(path, /^hello\/unversioned-[0-9a-f]{16}$/)
      assert.deepStrictEqual(readdirSync(bundle.directory).sort(), [".installed.json", "plugin.json", "run"])
      assert.isTrue(existsSync(join(source, ".git/config")))
      // An installed bundle is a folder like others.
      const again = yield* Effect.scoped(Effect.flatMap(store.stage({ folder: bundle.directory }), store.commit))
      assert.strictEqual(again.path, path)
      assert.lengthOf(all(directory), 3)
    }))

  test("takes the same content any number of times, also at once, and others beside it", (directory) =>
    Effect.gen(function* () {
      const first = yield* install()
      const before = statSync(first.bundle.directory).ino
      const again = yield* Effect.all(
        Array.from({ length: 5 }, () => install()),
        { concurrency: "unbounded" },
      )
      assert.deepStrictEqual(
        again,
        Array.from({ length: 5 }, () => first),
      )
      assert.strictEqual(statSync(first.bundle.directory).ino, before, "it was not touched")
      const others = yield* Effect.all(
        [install({ version: "1.1.0" }), install({}, { more: "" }), install({ id: "other" })],
        { concurrency: "unbounded" },
      )
      assert.strictEqual(new Set([first, ...others].map(({ path }) => path)).size, 4)
      assert.deepStrictEqual(readdirSync(join(directory, ".staging")), [])
      assert.deepStrictEqual(readdirSync(join(directory, ".trash")), [])
    }))

  test("commits the same staged bundle twice", () =>
    Effect.gen(function* () {
      const store = yield* BundleStore
      const staged = yield* store.stage(upload())
      assert.deepStrictEqual(yield* store.commit(staged), yield* store.commit(staged))
    }))

  test("mends what was tampered with when it is installed again", () =>
    Effect.gen(function* () {
      const first = yield* install()
      writeFileSync(join(first.bundle.directory, "run"), "#!/bin/evil\n")
      yield* Effect.flip(checkIntegrity(first.bundle.directory, first.hash))
      assert.deepStrictEqual(yield* install(), first)
      yield* checkIntegrity(first.bundle.directory, first.hash)
    }))

  test("names its folders by versions that are long", () =>
    Effect.gen(function* () {
      const version = `1.0.0-${"x".repeat(200)}`
      const { bundle, path } = yield* install({ version })
      assert.isBelow(path.length, 130)
      assert.strictEqual(bundle.manifest.version, version)
    }))

  test("removes bundles, and whoever asks for others is told", (directory) =>
    Effect.gen(function* () {
      const store = yield* BundleStore
      const one = yield* install()
      const two = yield* install({ version: "2.0.0" })
      yield* store.remove(one.path)
      assert.deepStrictEqual(readdirSync(join(directory, "hello")), [two.path.split("/")[1]!])
      yield* store.remove(one.path)
      yield* store.remove(two.path)
      yield* store.remove("never/was")
      assert.deepStrictEqual(readdirSync(directory).sort(), [".staging", ".trash"])
      assert.strictEqual((yield* Effect.flip(store.open(two.path)))._tag, "BundleError")
      for (const path of [
        "",
        "hello",
        "../data",
        "hello/..",
        ".trash/x",
        "hello/.x",
        "/etc/passwd",
        "a/b/c",
        "a\\b/c",
      ]) {
        for (const effect of [store.remove(path), store.open(path)]) {
          const error = yield* Effect.flip(effect)
          assert.strictEqual(error._tag, "BundleStoreError", path)
          assert.include(error.message, "it is no bundle's path")
        }
      }
    }))

  test("is swept of all but what is current, and tells what is missing; what is being staged stays", (directory) =>
    Effect.gen(function* () {
      const store = yield* BundleStore
      const old = yield* install()
      const current = yield* install({ version: "2.0.0" })
      const other = yield* install({ id: "other" })
      mkdirSync(join(directory, ".staging", "left", "hello"), { recursive: true })
      mkdirSync(join(directory, ".trash", "left"), { recursive: true })
      writeFileSync(join(directory, "hello", "stray"), "")
      mkdirSync(join(directory, "empty"))
      writeFileSync(join(directory, "readme"), "a file beside the plugins is none of ours")
      const staged = yield* store.stage(upload({ version: "3.0.0" }))
      const { missing, removed } = yield* store.sweep([current.path, "gone/1.0.0-0000000000000000"])
      assert.deepStrictEqual(removed.toSorted(), [old.path, "hello/stray", other.path].sort())
      assert.deepStrictEqual(missing, ["gone/1.0.0-0000000000000000"])
      assert.deepStrictEqual(readdirSync(directory).sort(), [".staging", ".trash", "hello", "readme"])
      assert.lengthOf(readdirSync(join(directory, ".staging")), 1)
      assert.deepStrictEqual(readdirSync(join(directory, ".trash")), [])
      yield* store.commit(staged)
      yield* checkIntegrity(current.bundle.directory, current.hash)
    }))

  it.live("that can't be made says why", () =>
    Effect.gen(function* () {
      const root = yield* folder({ file: "" })
      const error = yield* Effect.flip(Layer.build(layer(join(root, "file", "plugins"))))
      assert.deepInclude(error, { _tag: "BundleStoreError", store: join(root, "file", "plugins") })
      assert.include(error.message, "opening it")
    }).pipe(Effect.scoped),
  )

  test("looks at signatures before anything is installed", (directory) =>
    Effect.gen(function* () {
      const key = yield* makeSigningKey
      const keys = yield* folder({ "private.pem": key.privateKey, "public.pem": key.publicKey })
      const trusted = yield* readTrustedKeys(join(keys, "public.pem"))
      const source = yield* folder({ "plugin.json": JSON.stringify({ id: "hello", name: "Hello" }), "a.py": "" })
      const strict = Layer.succeed(SignaturePolicy, { mode: "require" as const, keys: trusted })
      const services = yield* Layer.build(Layer.fresh(layer(directory)).pipe(Layer.provide(strict)))
      const store = Context.get(services, BundleStore)
      // Whoever installs has no say in it.
      const attempt = Effect.scoped(Effect.flatMap(store.stage({ folder: source }), store.commit)).pipe(
        Effect.provideService(SignaturePolicy, { mode: "off", keys: [] }),
      )
      assert.deepInclude(yield* Effect.flip(attempt), {
        _tag: "BundleSignatureError",
        state: "Unsigned",
        pluginId: "hello",
      })
      yield* signBundle(source, yield* readPrivateKey(join(keys, "private.pem")))
      const { path, signedBy } = yield* attempt
      assert.strictEqual(signedBy, key.id)
      assert.strictEqual((yield* store.open(path)).manifest.id, "hello")
      // The next host trusts the key no more.
      const revoked = Layer.succeed(SignaturePolicy, { mode: "require" as const, keys: [] })
      const next = yield* Layer.build(Layer.fresh(layer(directory)).pipe(Layer.provide(revoked)))
      assert.deepInclude(yield* Effect.flip(Context.get(next, BundleStore).open(path)), {
        _tag: "BundleSignatureError",
        state: "UnknownKey",
      })
      writeFileSync(join(source, "a.py"), "evil = 1")
      const error = yield* Effect.flip(attempt)
      assert.deepInclude(error, { _tag: "BundleSignatureError", state: "Bad" })
      assert.include(error.message, '"a.py" was changed after it was signed')
      assert.lengthOf(readdirSync(join(directory, "hello")), 1)
    }))
})

describe("the integrity of an installed bundle", () => {
  const changes: ReadonlyArray<readonly [string, (directory: string) => void, BundleModifiedError["changes"]]> = [
    ["a changed file", (root) => writeFileSync(join(root, "run"), "#!/bin/sx\n"), [{ path: "run", change: "changed" }]],
    [
      "a file with another mode",
      (root) => chmodSync(join(root, "plugin.json"), 0o755),
      [{ path: "plugin.json", change: "changed" }],
    ],
    ["a missing file", (root) => rmSync(join(root, "run")), [{ path: "run", change: "missing" }]],
    [
      "an added file",
      (root) => writeFileSync(join(root, "lib", "evil.py"), ""),
      [{ path: "lib/evil.py", change: "added" }],
    ],
    [
      "an added hidden file",
      (root) => writeFileSync(join(root, ".hidden"), ""),
      [{ path: ".hidden", change: "added" }],
    ],
    [
      "bytecode that Python left",
      (root) => (mkdirSync(join(root, "lib/__pycache__")), writeFileSync(join(root, "lib/__pycache__/a.pyc"), "")),
      [{ path: "lib/__pycache__/a.pyc", change: "added" }],
    ],
    [
      "a link to the same content",
      (root) => (renameSync(join(root, "run"), join(root, "..", "run")), symlinkSync("../run", join(root, "run"))),
      [{ path: "run", change: "changed" }],
    ],
    [
      "a folder as a link",
      (root) => (renameSync(join(root, "lib"), join(root, "..", "lib")), symlinkSync("../lib", join(root, "lib"))),
      [
        { path: "lib", change: "added" },
        { path: "lib/a.py", change: "missing" },
      ],
    ],
    [
      "several at once",
      (root) => (rmSync(join(root, "run")), writeFileSync(join(root, "lib/a.py"), "x")),
      [
        { path: "lib/a.py", change: "changed" },
        { path: "run", change: "missing" },
      ],
    ],
    [
      "a list that was made to fit",
      (root) =>
        writeFileSync(
          join(root, ".installed.json"),
          readFileSync(join(root, ".installed.json"), "utf8").replace("0755", "0644"),
        ),
      [{ path: ".installed.json", change: "changed" }],
    ],
    ["no list", (root) => rmSync(join(root, ".installed.json")), [{ path: ".installed.json", change: "missing" }]],
    ["nothing at all", (root) => rmSync(root, { recursive: true }), [{ path: ".installed.json", change: "missing" }]],
  ]
  for (const [name, change, expected] of changes) {
    test(`names ${name}`, () =>
      Effect.gen(function* () {
        const { bundle, hash }: InstalledBundle = yield* install({}, { "lib/a.py": "" })
        yield* checkIntegrity(bundle.directory, hash)
        change(bundle.directory)
        const error = yield* Effect.flip(checkIntegrity(bundle.directory, hash))
        assert.deepStrictEqual(error.changes, expected)
        assert.include(
          error.message,
          `"${expected[0]!.path}" is ${expected[0]!.change === "added" ? "new" : expected[0]!.change}`,
        )
      }))
  }

  test("does not mind other times, nor modes that say the same", () =>
    Effect.gen(function* () {
      const { bundle, hash } = yield* install()
      chmodSync(join(bundle.directory, "run"), 0o700)
      writeFileSync(join(bundle.directory, "run"), "#!/bin/sh\n")
      yield* checkIntegrity(bundle.directory, hash)
    }))
})

describe("refuseDowngrade", () => {
  it.effect("refuses an older version, unless it is forced", () =>
    Effect.gen(function* () {
      const cases = [
        ["1.0.0", "1.0.1", true],
        ["1.0.0", "1.0.0", true],
        ["1.0.0", "0.9.9", false],
        ["1.10.0", "1.9.0", false],
        ["1.0.0", "1.0.0-rc1", false],
        ["1.0.0+a", "1.0.0+b", true],
        [undefined, "1.0.0", true],
        ["1.0.0", undefined, true],
        ["", "1.0.0", true],
      ] as const
      for (const [current, next, isTaken] of cases) {
        const exit = yield* Effect.exit(refuseDowngrade("hello", current, next))
        assert.strictEqual(Exit.isSuccess(exit), isTaken, `${current} to ${next}`)
        yield* refuseDowngrade("hello", current, next, { force: true })
      }
      const error = yield* Effect.flip(refuseDowngrade("hello", "2.0.0", "1.0.0"))
      assert.include(error.message, "in version 2.0.0, which is newer than 1.0.0")
    }),
  )
})
