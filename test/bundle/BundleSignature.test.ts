/** Signatures of bundles: what they are worth after everything that may happen to a bundle on its way. */
import { generateKeyPairSync, type KeyPairKeyObjectResult, sign } from "node:crypto"
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { hashFolder } from "../../src/bundle/BundleFolder.ts"
import { BundleLimits } from "../../src/bundle/BundleLimits.ts"
import {
  checkSignature,
  requireSignature,
  SIGNATURE_FILE,
  signBundle,
  SignaturePolicy,
  type SignaturePolicyValues,
} from "../../src/bundle/BundleSignature.ts"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { keyId, makeSigningKey, readPrivateKey, readTrustedKeys, type TrustedKey } from "../../src/bundle/SigningKey.ts"
import { folder } from "../support/folder.ts"
import { recordLog } from "../support/log.ts"

const live = PluginBundles.layer.pipe(Layer.provide(NodeServices.layer))
const test = <E>(name: string, body: Effect.Effect<void, E, PluginBundles | Scope.Scope>) =>
  it.live(name, () => body.pipe(Effect.scoped, Effect.provide(live)))

const pair = () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519")
  return { privateKey, trusted: { id: keyId(publicKey), key: publicKey } }
}
const author = pair()
const stranger = pair()

const plugin = (version = "1.0.0") =>
  folder({
    "plugin.json": JSON.stringify({ id: "hello", name: "Hello", version }),
    "plugin.py": { executable: "print(1)\n" },
    "lib/data": "data",
  })

const signedPlugin = Effect.tap(plugin(), (root) => signBundle(root, author.privateKey))

/** What the signature in a folder is worth. */
const check = Effect.fnUntraced(function* (root: string, keys: ReadonlyArray<TrustedKey> = [author.trusted]) {
  const { manifest } = yield* (yield* PluginBundles).load(root)
  const files = yield* Effect.promise(() => hashFolder(root, BundleLimits.defaultValue(), new AbortController().signal))
  return yield* checkSignature(root, manifest, files, keys)
})

/** Changes what is in a signature's file. */
const edit = (root: string, change: (stored: Record<string, string>) => void) => {
  const file = join(root, SIGNATURE_FILE)
  const stored = JSON.parse(readFileSync(file, "utf8"))
  change(stored)
  writeFileSync(file, JSON.stringify(stored))
}

describe("a signature", () => {
  test(
    "is good for what was signed, by a key that is trusted, and signing again makes the same",
    Effect.gen(function* () {
      const root = yield* signedPlugin
      const text = readFileSync(join(root, SIGNATURE_FILE), "utf8")
      const signed = { _tag: "Signed", keyId: author.trusted.id } as const
      assert.deepStrictEqual(yield* check(root), signed)
      assert.deepStrictEqual(yield* check(root, [stranger.trusted, author.trusted]), signed)
      assert.strictEqual(yield* signBundle(root, author.privateKey), author.trusted.id)
      assert.strictEqual(readFileSync(join(root, SIGNATURE_FILE), "utf8"), text)
    }),
  )

  test(
    "is told apart from none, and from one by a stranger",
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* check(yield* plugin()), { _tag: "Unsigned" })
      const root = yield* signedPlugin
      for (const keys of [[], [stranger.trusted]]) {
        assert.deepStrictEqual(yield* check(root, keys), { _tag: "UnknownKey", keyId: author.trusted.id })
      }
    }),
  )

  const bad: ReadonlyArray<readonly [string, (root: string) => void, string]> = [
    ["a changed file", (root) => writeFileSync(join(root, "lib/data"), "atad"), '"lib/data" was changed'],
    ["a longer file", (root) => writeFileSync(join(root, "lib/data"), "data!"), '"lib/data" was changed'],
    ["a missing file", (root) => rmSync(join(root, "lib/data")), '"lib/data" was signed and is missing'],
    ["an added file", (root) => writeFileSync(join(root, "lib/evil.py"), ""), '"lib/evil.py" was added'],
    ["another mode", (root) => chmodSync(join(root, "plugin.py"), 0o644), '"plugin.py" has another mode'],
    [
      "a changed list",
      (root) => edit(root, (stored) => (stored["signed"] = stored["signed"]!.replace("0644", "0755"))),
      "not by that key",
    ],
    [
      "a list that only reads the same",
      (root) => edit(root, (stored) => (stored["signed"] = stored["signed"]!.replace("{", "{ "))),
      "not by that key",
    ],
    ["a short signature", (root) => edit(root, (stored) => (stored["signature"] = "AAAA")), "not by that key"],
    ["no signature", (root) => edit(root, (stored) => (stored["signature"] = "")), "not by that key"],
    [
      "a signature of zeros",
      (root) => edit(root, (stored) => (stored["signature"] = Buffer.alloc(64).toString("base64"))),
      "not by that key",
    ],
    [
      "a stranger's signature in the name of the author",
      (root) =>
        edit(
          root,
          (stored) =>
            (stored["signature"] = sign(
              null,
              Buffer.from(`effect-plugin-supervisor bundle 1\n${stored["signed"]}`),
              stranger.privateKey,
            ).toString("base64")),
        ),
      "not by that key",
    ],
    [
      "a signature for the same text of something else",
      (root) =>
        edit(
          root,
          (stored) =>
            (stored["signature"] = sign(null, Buffer.from(stored["signed"]!), author.privateKey).toString("base64")),
        ),
      "not by that key",
    ],
  ]
  for (const [name, change, says] of bad) {
    test(
      `is bad with ${name}`,
      Effect.gen(function* () {
        const root = yield* signedPlugin
        change(root)
        const state = yield* check(root)
        assert.deepInclude(state, { _tag: "Bad", keyId: author.trusted.id })
        assert.include(state._tag === "Bad" ? state.reason : "", says)
      }),
    )
  }

  test(
    "of one version, or of one plugin, is none of another, even where the list does not tell",
    Effect.gen(function* () {
      const root = yield* signedPlugin
      const files = yield* Effect.promise(() =>
        hashFolder(root, BundleLimits.defaultValue(), new AbortController().signal),
      )
      for (const named of [{ id: "hello", version: "1.0.1" }, { id: "other", version: "1.0.0" }, { id: "hello" }]) {
        const state = yield* checkSignature(root, named, files, [author.trusted])
        assert.deepInclude(state, { _tag: "Bad" })
        assert.include(state._tag === "Bad" ? state.reason : "", 'signed as "hello 1.0.0"')
      }
    }),
  )

  test(
    "that can't be read is none of the above",
    Effect.gen(function* () {
      const signedText = (text: string) =>
        sign(null, Buffer.from(`effect-plugin-supervisor bundle 1\n${text}`), author.privateKey).toString("base64")
      for (const change of [
        (root: string) => writeFileSync(join(root, SIGNATURE_FILE), "no JSON"),
        (root: string) => writeFileSync(join(root, SIGNATURE_FILE), "{}"),
        (root: string) => writeFileSync(join(root, SIGNATURE_FILE), Buffer.alloc(16 * 1024 * 1024 + 1, " ")),
        (root: string) => edit(root, (stored) => (stored["keyId"] = "a\nb")),
        (root: string) =>
          edit(root, (stored) =>
            Object.assign(stored, { signed: '{"format":2}', signature: signedText('{"format":2}') }),
          ),
      ]) {
        const root = yield* signedPlugin
        change(root)
        assert.strictEqual((yield* check(root))._tag, "Unreadable")
      }
    }),
  )
})

describe("the policy for signatures", () => {
  const outcome = Effect.fnUntraced(function* (
    root: string,
    mode: SignaturePolicyValues["mode"],
    keys: ReadonlyArray<TrustedKey>,
  ) {
    const { manifest } = yield* (yield* PluginBundles).load(root)
    const files = yield* Effect.promise(() =>
      hashFolder(root, BundleLimits.defaultValue(), new AbortController().signal),
    )
    return yield* requireSignature(root, manifest, files).pipe(
      Effect.provideService(SignaturePolicy, { mode, keys }),
      Effect.match({ onSuccess: ({ _tag }) => `takes ${_tag}`, onFailure: ({ state }) => `refuses ${state}` }),
    )
  })

  const log = recordLog()
  test(
    "decides by the mode and by what the signature is worth",
    Effect.gen(function* () {
      const unsigned = yield* plugin()
      const signed = yield* signedPlugin
      const changed = yield* signedPlugin
      writeFileSync(join(changed, "lib/data"), "")
      const unreadable = yield* signedPlugin
      writeFileSync(join(unreadable, SIGNATURE_FILE), "")
      const table = [
        [signed, [author.trusted], "takes Signed", "takes Signed"],
        [unsigned, [author.trusted], "takes Unsigned", "refuses Unsigned"],
        [signed, [stranger.trusted], "takes UnknownKey", "refuses UnknownKey"],
        [changed, [author.trusted], "refuses Bad", "refuses Bad"],
        [unreadable, [author.trusted], "takes Unreadable", "refuses Unreadable"],
      ] as const
      for (const [root, keys, warn, require] of table) {
        assert.strictEqual(yield* outcome(root, "off", keys), "takes Unchecked")
        assert.strictEqual(yield* outcome(root, "warn", keys), warn)
        assert.strictEqual(yield* outcome(root, "require", keys), require)
      }
      assert.lengthOf(
        log.messages().filter((message) => message.includes("signatures are not required")),
        3,
      )
    }).pipe(Effect.provide(log.layer)),
  )
})

describe("keys", () => {
  const pem = ({ privateKey, publicKey }: KeyPairKeyObjectResult) => ({
    privateKey: String(privateKey.export({ format: "pem", type: "pkcs8" })),
    publicKey: String(publicKey.export({ format: "pem", type: "spki" })),
  })

  test(
    "are made, written to files and read again",
    Effect.gen(function* () {
      const one = yield* makeSigningKey
      const two = yield* makeSigningKey
      const root = yield* folder({
        "private.pem": one.privateKey,
        "trusted.pem": `# of the team\n${one.publicKey}\n${two.publicKey}`,
      })
      assert.strictEqual(keyId(yield* readPrivateKey(join(root, "private.pem"))), one.id)
      const trusted = yield* readTrustedKeys(join(root, "trusted.pem"))
      assert.deepStrictEqual(
        trusted.map(({ id }) => id),
        [one.id, two.id],
      )
      assert.match(one.id, /^[0-9a-f]{16}$/)
    }),
  )

  test(
    "of other kinds, and what is no key, are refused without being quoted",
    Effect.gen(function* () {
      const good = pem(generateKeyPairSync("ed25519"))
      const ec = pem(generateKeyPairSync("ec", { namedCurve: "P-256" }))
      const root = yield* folder({
        text: "no key",
        empty: "",
        ec: ec.privateKey,
        ed448: pem(generateKeyPairSync("ed448")).privateKey,
        "ec.pub": ec.publicKey,
        "both.pub": `${good.publicKey}\n${good.privateKey}`,
        "broken.pub": good.publicKey.replace("MC", "XX"),
      })
      const cases: ReadonlyArray<readonly [Effect.Effect<unknown, Error>, string]> = [
        [readPrivateKey(join(root, "text")), "expected a private key in PEM"],
        [readPrivateKey(join(root, "missing")), "no such file"],
        [readPrivateKey(join(root, "ec")), "of the kind ec; make one of ed25519"],
        [readPrivateKey(join(root, "ed448")), "of the kind ed448"],
        [readTrustedKeys(join(root, "empty")), "expected public keys"],
        [readTrustedKeys(join(root, "ec.pub")), "of the kind ec"],
        [readTrustedKeys(join(root, "both.pub")), "public keys in PEM, and nothing else"],
        [readTrustedKeys(join(root, "broken.pub")), "expected a public key in PEM"],
      ]
      for (const [effect, says] of cases) {
        const { message } = yield* Effect.flip(effect)
        assert.include(message, says)
        assert.notInclude(message, "-----")
      }
    }),
  )
})
