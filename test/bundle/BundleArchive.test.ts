/** What archives are made to do to whoever unpacks them, and what good tools make. */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type ArchiveSource, unpackArchive } from "../../src/bundle/BundleArchive.ts"
import { BundleLimits, type BundleLimitsValues } from "../../src/bundle/BundleLimits.ts"
import { folder, temporaryFolder } from "../support/folder.ts"
import { hostile } from "./hostileArchives.ts"
import { archive, END, entry, longName, manifest, pax } from "./tarBytes.ts"

const MIB = 1024 * 1024
const bytes = (content: Buffer) => Stream.make(new Uint8Array(content))

const files = (count: number) => Array.from({ length: count }, (_, index) => entry(`f${index}`))

/** Unpacks into a folder, and answers that as well. */
const unpacking = Effect.fnUntraced(function* <E>(source: ArchiveSource<E>, limits: Partial<BundleLimitsValues> = {}) {
  const root = yield* temporaryFolder
  const target = join(root, "staging", "1")
  const effect = unpackArchive(source, target).pipe(
    Effect.provideService(BundleLimits, { ...BundleLimits.defaultValue(), ...limits }),
  )
  return { root, target, effect }
})

describe("a hostile archive", () => {
  it("has a name of its own in this table, and there are forty of them", () => {
    assert.strictEqual(new Set(hostile.map(({ name }) => name)).size, hostile.length)
    assert.isAbove(hostile.length, 40)
  })

  it.live.each(hostile)("that $name is refused", ({ archive, entry = "", kind, limits, says }) =>
    Effect.gen(function* () {
      const { effect, root, target } = yield* unpacking(bytes(archive()), limits)
      const error = yield* Effect.flip(effect)
      assert.deepInclude(error, { _tag: "BundleRefusedError", source: "the archive", kind, entry })
      assert.include(error.message, says)
      assert.notMatch(error.message, /\p{Cc}/u)
      assert.deepStrictEqual(readdirSync(root, { recursive: true }), ["staging"], "nothing is left, here or beside it")
      assert.isFalse(existsSync(target))
    }).pipe(Effect.scoped),
  )

  it.live.each(hostile)("that $name is refused wherever the network cuts it", ({ archive, entry = "", kind, limits }) =>
    Effect.gen(function* () {
      const content = archive()
      const pieces = Array.from(
        { length: Math.ceil(content.length / 7) },
        (_, index) => new Uint8Array(content.subarray(index * 7, index * 7 + 7)),
      )
      const { effect, target } = yield* unpacking(Stream.fromIterable(pieces), limits)
      assert.deepInclude(yield* Effect.flip(effect), { kind, entry })
      assert.isFalse(existsSync(target))
    }).pipe(Effect.scoped),
  )
})

describe("an archive", () => {
  const test = <E>(name: string, body: Effect.Effect<void, E, Scope.Scope>) =>
    it.live(name, () => body.pipe(Effect.scoped))

  test(
    "at the root is unpacked with modes of ours, whatever its own are",
    Effect.gen(function* () {
      const { effect, target } = yield* unpacking(
        bytes(
          archive(
            entry("./", { type: "5", mode: 0o000 }),
            manifest("./plugin.json"),
            entry("a/", { type: "5", mode: 0o7777 }),
            entry("a/run", { content: "x", mode: 0o6755 }),
            entry("a/data", { mode: 0o000 }),
          ),
        ),
      )
      const { directory, files } = yield* effect
      assert.strictEqual(directory, target)
      assert.deepStrictEqual(
        files.map(({ mode, path, size }) => [path, mode, size]),
        [
          ["a/data", "0644", 0],
          ["a/run", "0755", 1],
          ["plugin.json", "0644", files[2]!.size],
        ],
      )
      assert.strictEqual(files[1]!.sha256, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")
      for (const [path, mode] of [
        ["", 0o700],
        ["a", 0o755 & ~process.umask()],
        ["a/run", 0o755],
        ["a/data", 0o644],
        ["plugin.json", 0o644],
      ] as const) {
        assert.strictEqual(statSync(join(target, path)).mode & 0o7777, mode, path)
      }
    }),
  )

  test(
    "in one folder is that folder; manifests further down are its data",
    Effect.gen(function* () {
      const { effect, target } = yield* unpacking(
        bytes(
          archive(entry("hello/", { type: "5" }), manifest("hello/plugin.json"), manifest("hello/example/plugin.yml")),
        ),
      )
      const { directory, files } = yield* effect
      assert.strictEqual(directory, join(target, "hello"))
      assert.deepStrictEqual(
        files.map(({ path }) => path),
        ["example/plugin.yml", "plugin.json"],
      )
    }),
  )

  test(
    "may have a long name that fills its block, folders twice, zeros, a global header, and several gzips",
    Effect.gen(function* () {
      // The text of the name has 512 bytes, so its last byte, a zero, has a block for itself.
      const long = `${"n".repeat(255)}/${"m".repeat(255)}`.concat("/")
      const content = Buffer.concat([
        pax({ comment: "a commit" }, "g"),
        manifest(),
        longName(long),
        entry("cut", { type: "5", magic: "ustar  \0" }),
        entry("zeros", { content: Buffer.alloc(4096) }),
        entry("d/", { type: "5" }),
        entry("d/", { type: "5" }),
        END,
        Buffer.alloc(10_240),
      ])
      const { effect, target } = yield* unpacking(
        bytes(Buffer.concat([gzipSync(content.subarray(0, 700)), gzipSync(content.subarray(700))])),
      )
      assert.deepStrictEqual(
        (yield* effect).files.map(({ path }) => path),
        ["plugin.json", "zeros"],
      )
      assert.isTrue(statSync(join(target, long)).isDirectory())
    }),
  )

  test(
    "that names its own limits is bounded by ours: half of each is no reason to refuse it",
    Effect.gen(function* () {
      const { effect } = yield* unpacking(
        bytes(archive(manifest(), entry("zeros", { content: Buffer.alloc(8 * MIB) }), ...files(5))),
        { entries: 7, file: 8 * MIB, unpacked: 9 * MIB },
      )
      assert.lengthOf((yield* effect).files, 7)
    }),
  )

  test(
    "comes from a file, which has to be one",
    Effect.gen(function* () {
      const root = yield* folder({ "fine.tar.gz": "" })
      writeFileSync(join(root, "fine.tar.gz"), archive(manifest()))
      symlinkSync("fine.tar.gz", join(root, "link.tar.gz"))
      execFileSync("mkfifo", [join(root, "pipe")])
      for (const name of ["fine.tar.gz", "link.tar.gz"])
        assert.lengthOf((yield* unpackArchive(join(root, name), join(root, name, "..", `of-${name}`))).files, 1)
      for (const [name, says] of [
        ["missing", "no such file"],
        ["pipe", "is no file"],
        [".", "is no file"],
      ] as const) {
        const error = yield* Effect.flip(unpackArchive(join(root, name), join(root, "to")))
        assert.deepInclude(error, { kind: "source", source: join(root, name) })
        assert.include(error.message, says)
        assert.isFalse(existsSync(join(root, "to")))
      }
    }),
  )

  test(
    "is never unpacked into what is there",
    Effect.gen(function* () {
      const root = yield* folder({ "full/keep": "mine" })
      const error = yield* Effect.flip(unpackArchive(bytes(archive(manifest())), join(root, "full")))
      assert.deepInclude(error, { kind: "disk" })
      assert.include(error.message, "is not empty")
      assert.strictEqual(readFileSync(join(root, "full/keep"), "utf8"), "mine")
      mkdirSync(join(root, "empty"))
      yield* unpackArchive(bytes(archive(manifest())), join(root, "empty"))
    }),
  )

  test(
    "that breaks off where it comes from leaves nothing",
    Effect.gen(function* () {
      const whole = archive(manifest(), ...files(200))
      const half = Stream.concat(bytes(whole.subarray(0, whole.length / 2)), Stream.fail(new Error("the line is dead")))
      const { effect, target } = yield* unpacking(half)
      const error = yield* Effect.flip(effect)
      assert.deepInclude(error, { kind: "source" })
      assert.include(error.message, "the line is dead")
      assert.isFalse(existsSync(target))
    }),
  )

  test(
    "whose unpacking is interrupted leaves nothing, and its source is let go",
    Effect.gen(function* () {
      const stalled = yield* Deferred.make<void>()
      const released = yield* Deferred.make<void>()
      const whole = archive(manifest(), ...files(200))
      const source = bytes(whole.subarray(0, whole.length / 2)).pipe(
        Stream.concat(Stream.fromEffect(Effect.andThen(Deferred.succeed(stalled, undefined), Effect.never))),
        Stream.ensuring(Deferred.succeed(released, undefined)),
      )
      const { effect, target } = yield* unpacking(source)
      const fiber = yield* Effect.forkChild(effect)
      yield* Deferred.await(stalled)
      yield* Fiber.interrupt(fiber)
      assert.isFalse(existsSync(target))
      yield* Deferred.await(released)
    }),
  )

  it.effect("that stalls is given up", () =>
    Effect.gen(function* () {
      const stalled = yield* Deferred.make<void>()
      const source = Stream.concat(
        bytes(archive(manifest()).subarray(0, 30)),
        Stream.fromEffect(Effect.andThen(Deferred.succeed(stalled, undefined), Effect.never)),
      )
      const { effect, target } = yield* unpacking(source, { time: Duration.minutes(1) })
      const fiber = yield* Effect.forkChild(Effect.flip(effect))
      yield* Deferred.await(stalled)
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert.deepInclude(error, { kind: "limit" })
      assert.include(error.message, "within 1m")
      assert.isFalse(existsSync(target))
    }).pipe(Effect.scoped),
  )
})

describe("an archive by a tool", () => {
  const long = `deep/${"folder-with-a-long-name/".repeat(8)}${"x".repeat(120)}.py`
  const tree = {
    "hello/plugin.json": JSON.stringify({ id: "hello", name: "Hello" }),
    "hello/plugin.py": { executable: "#!/usr/bin/env python3\n" },
    "hello/empty.txt": "",
    "hello/Grüße und mehr.txt": "ü",
    [`hello/${long}`]: "long",
  }
  const expected = ["Grüße und mehr.txt", long, "empty.txt", "plugin.json", "plugin.py"].sort()

  const commands: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
    ["GNU tar", ["tar", "-czf", "a.tar.gz", "hello"]],
    ["GNU tar in the folder", ["tar", "-czf", "a.tar.gz", "-C", "hello", "."]],
    ["GNU tar, POSIX", ["tar", "--format=posix", "-czf", "a.tar.gz", "hello"]],
    ["GNU tar, POSIX, with attributes", ["tar", "--format=posix", "--xattrs", "--acls", "-czf", "a.tar.gz", "hello"]],
    ["GNU tar by names", ["sh", "-c", "cd hello && tar --format=gnu -czf ../a.tar.gz -- *"]],
    [
      "GNU tar and gzip of two members",
      ["sh", "-c", "tar -cf a.tar hello; { head -c 1000 a.tar | gzip; tail -c +1001 a.tar | gzip; } > a.tar.gz"],
    ],
    ...["USTAR", "GNU", "PAX"].map(
      (format) =>
        [
          `Python's tarfile, ${format}`,
          [
            "python3",
            "-c",
            `import sys, tarfile
with tarfile.open("a.tar.gz", "w:gz", format=tarfile.${format}_FORMAT) as t: t.add("hello")`,
          ],
        ] as const,
    ),
    [
      "git archive",
      [
        "sh",
        "-c",
        "cd hello && git init -q . && git add . && git -c user.name=a -c user.email=a@b commit -qm a && git archive -o ../a.tar.gz HEAD",
      ],
    ],
  ]
  it.live.each(commands.map(([name, command]) => ({ name, command })))("is unpacked: $name", ({ command, name }) =>
    Effect.gen(function* () {
      // The long path has no place at which USTAR could split it.
      const without = name.endsWith("USTAR") ? `hello/${long}` : ""
      const root = yield* folder(Object.fromEntries(Object.entries(tree).filter(([path]) => path !== without)))
      execFileSync(command[0]!, command.slice(1), { cwd: root, stdio: "pipe" })
      const { directory, files } = yield* unpackArchive(join(root, "a.tar.gz"), join(root, "to"))
      assert.deepStrictEqual(
        files.map(({ path }) => path),
        expected.filter((path) => `hello/${path}` !== without),
      )
      assert.strictEqual(files.find(({ path }) => path === "plugin.py")?.mode, "0755")
      assert.strictEqual(readFileSync(join(directory, "Grüße und mehr.txt"), "utf8"), "ü")
      if (without === "") assert.strictEqual(readFileSync(join(directory, long), "utf8"), "long")
    }).pipe(Effect.scoped),
  )
})
