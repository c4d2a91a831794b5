/** Archives that are made to hurt whoever unpacks them, and broken ones: each with what has to be said about it. */
import { gzipSync } from "node:zlib"
import type { BundleLimitsValues } from "../../src/bundle/BundleLimits.ts"
import type { BundleRefusedError } from "../../src/bundle/BundleRefusedError.ts"
import { archive, END, entry, longName, manifest, pax } from "./tarBytes.ts"

const MIB = 1024 * 1024

export interface Hostile {
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

export const hostile: ReadonlyArray<Hostile> = [
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
