/** What archives are made to do to whoever unpacks them, and what good tools make. */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type ArchiveSource, unpackArchive } from "../../src/bundle/BundleArchive.ts"
import { BundleLimits, type BundleLimitsValues } from "../../src/bundle/BundleLimits.ts"
import type { BundleRefusedError } from "../../src/bundle/BundleRefusedError.ts"
import { folder, temporaryFolder } from "../support/folder.ts"
import { archive, END, entry, longName, manifest, pax } from "./tarBytes.ts"

const MIB = 1024 * 1024
const bytes = (content: Buffer) => Stream.make(new Uint8Array(content))

interface Hostile {
  readonly name: string
  readonly archive: () => Buffer
  readonly kind: BundleRefusedError["kind"]
  /** The entry that the error names; empty when it is the archive as a whole. */
  readonly entry?: string
  readonly says: string
  readonly limits?: Partial<BundleLimitsValues>
}

/** A good plugin around something. */
const beside =
  (...entries: ReadonlyArray<Buffer>) =>
  () =>
    archive(manifest(), ...entries)
const files = (count: number) => Array.from({ length: count }, (_, index) => entry(`f${index}`))
const spoiled = (content: Buffer, from: number) =>
  Buffer.concat([
    content.subarray(0, content.length + from),
    Buffer.from([content.at(from)! ^ 1]),
    content.subarray(content.length + from + 1),
  ])

const path = (name: string, says: string, entries: ReadonlyArray<Buffer>, quoted: string): Hostile => ({
  name,
  archive: beside(...entries),
  kind: "path",
  entry: quoted,
  says,
})

const hostile: ReadonlyArray<Hostile> = [
  // Where it leads.
  path("leads out by ..", "leads out of the bundle", [entry("../evil")], '"../evil"'),
  path("leads out by .. in the middle", "leads out of the bundle", [entry("a/../../evil")], '"a/../../evil"'),
  path("has .. that stays inside", "leads out of the bundle", [entry("a/../b")], '"a/../b"'),
  path("leads out by ./..", "leads out of the bundle", [entry("./../evil")], '"./../evil"'),
  path("is absolute", "absolute", [entry("/etc/cron.d/evil")], '"/etc/cron.d/evil"'),
  path("is absolute behind a dot", "empty name", [entry(".//etc/evil")], '".//etc/evil"'),
  path("is on a drive", "absolute", [entry("C:/evil")], '"C:/evil"'),
  path("is on another host's share", "backslash", [entry("\\\\host\\evil")], '"\\\\\\\\host\\\\evil"'),
  path("has backslashes", "backslash", [entry("..\\evil")], '"..\\\\evil"'),
  path("leads out by its prefix", "leads out of the bundle", [entry("evil", { prefix: "../.." })], '"../../evil"'),
  path("leads out by a pax header", "leads out of the bundle", [pax({ path: "../evil" }), entry("good")], '"../evil"'),
  path("leads out by a GNU long name", "leads out of the bundle", [longName("../evil"), entry("good")], '"../evil"'),
  path("is a folder that leads out", "leads out of the bundle", [entry("../", { type: "5" })], '"../"'),
  path("has an empty name", "has no name", [entry("")], '""'),
  path("has an empty name in its path", "empty name", [entry("a//b")], '"a//b"'),
  path("has a line break", "control character", [entry("a\nb")], '"a\\u{a}b"'),
  path("has an escape for terminals", "control character", [entry("\u001b[2J")], '"\\u{1b}[2J"'),
  path("has a NUL in a pax header", "control character", [pax({ path: "a\0b" }), entry("good")], '"a\\u{0}b"'),
  path("has C1 controls", "control character", [entry("a\u009bb")], '"a\\u{9b}b"'),
  path("is no UTF-8", "no UTF-8", [entry(Buffer.from([0x61, 0xff, 0x62]))], '"a\\u{fffd}b"'),
  path(
    "is no UTF-8 in a pax header",
    "no UTF-8",
    [pax({ path: Buffer.from([0xc3, 0x28]) }), entry("a")],
    '"\\u{fffd}("',
  ),
  path(
    "has a name that is too long",
    "more than 255 bytes",
    [pax({ path: "é".repeat(128) }), entry("a")],
    `"${"é".repeat(120)}…"`,
  ),
  path(
    "has a path that is too long",
    "more than 1024 bytes",
    [longName("abcdefg/".repeat(129)), entry("a")],
    `"${"abcdefg/".repeat(15)}…"`,
  ),
  path("is too deep", "32 folders deep", [entry(`${"a/".repeat(32)}b`)], `"${"a/".repeat(32)}b"`),
  path(
    "takes the place of the store's list",
    "list of an installed plugin",
    [entry(".installed.json")],
    '".installed.json"',
  ),
  // What it is.
  ...[
    ["a symbolic link", "2", "symbolic link"],
    ["a hard link", "1", "hard link"],
    ["a character device", "3", "device"],
    ["a block device", "4", "device"],
    ["a pipe", "6", "pipe"],
    ["a contiguous file", "7", "neither"],
    ["GNU's sparse file", "S", "neither"],
    ["a part of another archive", "M", "neither"],
    ["of a type that nobody knows", "Z", "neither"],
  ].map(([name, type, says]): Hostile => ({
    name: `is ${name}`,
    archive: beside(entry("odd", { type: type!, link: "/etc/passwd" })),
    kind: "type",
    entry: '"odd"',
    says: says!,
  })),
  {
    name: "writes through a link of its own",
    archive: beside(entry("out", { type: "2", link: "/tmp" }), entry("out/evil")),
    kind: "type",
    entry: '"out"',
    says: "symbolic link",
  },
  {
    name: "is a sparse file by pax",
    archive: beside(pax({ "GNU.sparse.major": "1", "GNU.sparse.realsize": "999999999" }), entry("holes")),
    kind: "type",
    entry: '"holes"',
    says: "sparse",
  },
  {
    name: "is a file called like a folder",
    archive: beside(entry("a/")),
    kind: "type",
    entry: '"a/"',
    says: "name of a folder",
  },
  { name: "is a file called .", archive: beside(entry(".")), kind: "type", entry: '"."', says: "name of a folder" },
  {
    name: "is a folder with a content, in which other entries hide",
    archive: beside(entry("a/", { type: "5", content: entry("hidden") })),
    kind: "type",
    entry: '"a/"',
    says: "content of its own",
  },
  // What is the same as something else.
  {
    name: "has a file twice",
    archive: beside(entry("a"), entry("a")),
    kind: "same",
    entry: '"a"',
    says: "is there twice",
  },
  {
    name: "has its manifest twice",
    archive: () => archive(manifest(), manifest("./plugin.json")),
    kind: "same",
    entry: '"./plugin.json"',
    says: "is there twice",
  },
  {
    name: "has a name in two cases",
    archive: beside(entry("a/B"), entry("a/b")),
    kind: "same",
    entry: '"a/b"',
    says: 'that of "a/B"',
  },
  {
    name: "has a folder in two cases",
    archive: beside(entry("a/x"), entry("A/y")),
    kind: "same",
    entry: '"A/y"',
    says: 'that of "a"',
  },
  {
    name: "has a name in two forms of Unicode",
    archive: beside(entry("\u00e9"), entry("e\u0301")),
    kind: "same",
    entry: '"e\u0301"',
    says: "accents",
  },
  {
    name: "has ß and SS",
    archive: beside(entry("stra\u00dfe"), entry("STRASSE")),
    kind: "same",
    entry: '"STRASSE"',
    says: "case",
  },
  {
    name: "has a file as a folder",
    archive: beside(entry("a"), entry("a/b")),
    kind: "same",
    entry: '"a/b"',
    says: "both as a file and as a folder",
  },
  {
    name: "has a folder as a file",
    archive: beside(entry("a/b"), entry("a")),
    kind: "same",
    entry: '"a"',
    says: "both as a file and as a folder",
  },
  // How much it is.
  {
    name: "is a bomb by ratio",
    archive: beside(entry("zeros", { content: Buffer.alloc(32 * MIB) })),
    kind: "limit",
    says: "200 times as large",
  },
  {
    name: "is a bomb in all",
    archive: beside(entry("a", { content: Buffer.alloc(MIB) }), entry("b", { content: Buffer.alloc(MIB) })),
    kind: "limit",
    says: `more than ${1.5 * MIB} bytes unpacked`,
    limits: { unpacked: 1.5 * MIB },
  },
  {
    name: "is a bomb in one file",
    archive: beside(entry("big", { content: Buffer.alloc(5000) })),
    kind: "limit",
    entry: '"big"',
    says: "more than 4999 bytes",
    limits: { file: 4999 },
  },
  {
    name: "claims a size that it has not",
    archive: beside(entry("big", { size: 8 * 1024 ** 3 - 1 })),
    kind: "limit",
    entry: '"big"',
    says: `more than ${512 * MIB} bytes`,
  },
  {
    name: "claims a size by pax",
    archive: beside(pax({ size: "99999999999999" }), entry("big")),
    kind: "limit",
    entry: '"big"',
    says: `more than ${512 * MIB} bytes`,
  },
  {
    name: "is too large as it comes",
    archive: beside(
      entry("a", { content: Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 7919) % 251)) }),
    ),
    kind: "limit",
    says: "more than 100 bytes",
    limits: { archive: 100 },
  },
  {
    name: "has too many files",
    archive: beside(...files(50)),
    kind: "limit",
    says: "more than 50 files",
    limits: { entries: 50 },
  },
  {
    name: "has too many folders",
    archive: beside(...Array.from({ length: 50 }, (_, index) => entry(`d${index}/`, { type: "5" }))),
    kind: "limit",
    says: "more than 50 files",
    limits: { entries: 50 },
  },
  {
    name: "has headers without end",
    archive: beside(...Array.from({ length: 40 }, () => pax({ comment: "x".repeat(60_000) })), entry("a")),
    kind: "limit",
    says: "bytes of headers",
  },
  {
    name: "has a header of gigabytes",
    archive: beside(entry("PaxHeader", { type: "x", size: 2 * 1024 ** 3 })),
    kind: "broken",
    says: "Header exceeds max size",
  },
  {
    name: "leaves too little of the disk",
    archive: beside(entry("a", { content: "x" })),
    kind: "disk",
    says: "of the disk free",
    limits: { freeDisk: Number.MAX_SAFE_INTEGER },
  },
  // What is broken.
  { name: "is empty", archive: () => Buffer.alloc(0), kind: "broken", says: "gzip" },
  { name: "is no gzip", archive: () => Buffer.from("PK\u0003\u0004, a zip"), kind: "broken", says: "gzip" },
  { name: "is a tar without gzip", archive: () => Buffer.concat([manifest(), END]), kind: "broken", says: "gzip" },
  { name: "is no tar", archive: () => gzipSync(Buffer.alloc(2048, "text")), kind: "broken", says: "no whole tar" },
  {
    name: "has a header with a wrong sum",
    archive: beside(entry("a", { sum: 1 })),
    kind: "broken",
    says: "no whole tar",
  },
  { name: "is of a tar of long ago", archive: beside(entry("a", { magic: "" })), kind: "broken", says: "no whole tar" },
  {
    name: "breaks off in its gzip",
    archive: () => beside(...files(10))().subarray(0, -20),
    kind: "broken",
    says: "gzip",
  },
  { name: "has another checksum", archive: () => spoiled(beside()(), -8), kind: "broken", says: "gzip" },
  { name: "has another length", archive: () => spoiled(beside()(), -4), kind: "broken", says: "gzip" },
  {
    name: "breaks off in a file",
    archive: () => gzipSync(Buffer.concat([manifest(), entry("a", { content: "x".repeat(600) }).subarray(0, 800)])),
    kind: "broken",
    says: "no whole tar",
  },
  { name: "has no end", archive: () => gzipSync(manifest()), kind: "broken", says: "has no end" },
  {
    name: "has half an end",
    archive: () => gzipSync(Buffer.concat([manifest(), END.subarray(512)])),
    kind: "broken",
    says: "has no end",
  },
  {
    name: "has no end but a file of zeros",
    archive: () => gzipSync(Buffer.concat([manifest(), entry("zeros", { content: Buffer.alloc(2048) })])),
    kind: "broken",
    says: "has no end",
  },
  {
    name: "goes on after its end",
    archive: () => gzipSync(Buffer.concat([manifest(), END, entry("hidden"), END])),
    kind: "broken",
    entry: '"hidden"',
    says: "after the end",
  },
  {
    name: "goes on after a file of zeros and its end",
    archive: () =>
      gzipSync(Buffer.concat([manifest(), entry("zeros", { content: Buffer.alloc(512) }), END, entry("hidden"), END])),
    kind: "broken",
    entry: '"hidden"',
    says: "after the end",
  },
  {
    name: "goes on in another gzip",
    archive: () => Buffer.concat([beside()(), archive(entry("hidden"))]),
    kind: "broken",
    entry: '"hidden"',
    says: "after the end",
  },
  {
    name: "has text after its end",
    archive: () => gzipSync(Buffer.concat([manifest(), END, Buffer.alloc(512, "x")])),
    kind: "broken",
    says: "no whole tar",
  },
  {
    name: "has a header after its last entry",
    archive: beside(pax({ path: "nothing" })),
    kind: "broken",
    says: "after its last entry",
  },
  {
    name: "has garbage after its gzip",
    archive: () => Buffer.concat([beside()(), Buffer.from("garbage")]),
    kind: "broken",
    says: "gzip",
  },
  {
    name: "has zeros and garbage after its gzip",
    archive: () => Buffer.concat([beside()(), Buffer.from("\0\0garbage")]),
    kind: "broken",
    says: "after the end of what gzip packed",
  },
  // Where the plugin is.
  { name: "has nothing in it", archive: () => archive(), kind: "root", says: "no manifest" },
  { name: "has no manifest", archive: () => archive(entry("readme")), kind: "root", says: "no manifest" },
  {
    name: "has two plugins",
    archive: () => archive(manifest("a/plugin.json"), manifest("b/plugin.json")),
    kind: "root",
    says: "no manifest",
  },
  {
    name: "has a file beside the plugin's folder",
    archive: () => archive(manifest("a/plugin.json"), entry("readme")),
    kind: "root",
    says: "no manifest",
  },
  {
    name: "has an empty folder beside the plugin's",
    archive: () => archive(manifest("a/plugin.json"), entry("b/", { type: "5" })),
    kind: "root",
    says: "no manifest",
  },
  {
    name: "has its plugin two folders deep",
    archive: () => archive(manifest("a/b/plugin.json")),
    kind: "root",
    says: "no manifest",
  },
  {
    name: "has two manifests",
    archive: beside(entry("plugin.yml")),
    kind: "root",
    says: "2 manifests (plugin.json, plugin.yml)",
  },
  {
    name: "has a folder as its manifest",
    archive: () => archive(entry("plugin.json/", { type: "5" })),
    kind: "root",
    says: "no manifest",
  },
]

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
      assert.deepInclude(error, { _tag: "BundleRefusedError", source: "the upload", kind, entry })
      assert.include(error.message, says)
      assert.notMatch(error.message, /\p{Cc}/u)
      assert.isFalse(existsSync(target), "nothing is left")
      assert.isFalse(existsSync(join(root, "evil")))
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
        ["a", 0o700],
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
