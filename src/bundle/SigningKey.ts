import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto"
import { readFile } from "node:fs/promises"
import { Effect, Schema } from "effect"

/** A key that can't be used. It never quotes the key. */
export class SigningKeyError extends Schema.TaggedError<SigningKeyError>()("SigningKeyError", {
  /** Its file. */
  file: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `the key in ${this.file} can't be used: ${this.reason}`
  }
}

/** A public key whose signatures count. */
export interface TrustedKey {
  /** Made of the key itself ({@link keyId}), so that a name never stands for two keys. */
  readonly id: string
  readonly key: KeyObject
}

/** What a key is called in signatures, in lists and in messages: the first 16 digits of its sha256. */
export const keyId = (key: KeyObject): string => {
  const { x = "" } = (key.type === "private" ? createPublicKey(key) : key).export({ format: "jwk" })
  return createHash("sha256").update(Buffer.from(x, "base64url")).digest("hex").slice(0, 16)
}

/** Other kinds have their own ways to sign, which `verify` would take as well. */
const ofKind = (file: string, key: KeyObject): Effect.Effect<KeyObject, SigningKeyError> =>
  key.asymmetricKeyType === "ed25519"
    ? Effect.succeed(key)
    : Effect.fail(
        new SigningKeyError({ file, reason: `it is of the kind ${key.asymmetricKeyType}; make one of ed25519` }),
      )

const readText = (file: string) =>
  Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (error) => new SigningKeyError({ file, reason: `it can't be read: ${(error as Error).message}` }),
  })

const parse = (file: string, what: string, make: () => KeyObject) =>
  Effect.try({
    try: make,
    catch: () => new SigningKeyError({ file, reason: `expected a ${what} in PEM, without a passphrase` }),
  })

/** The private key in a PEM file, as `openssl genpkey -algorithm ed25519` makes it. */
export const readPrivateKey = Effect.fn("readPrivateKey")(function* (file: string) {
  const text = yield* readText(file)
  return yield* ofKind(file, yield* parse(file, "private key", () => createPrivateKey(text)))
})

/** The public keys in a PEM file, as `openssl pkey -pubout` makes them, one after the other. */
export const readTrustedKeys = Effect.fn("readTrustedKeys")(function* (
  file: string,
): Effect.fn.Return<ReadonlyArray<TrustedKey>, SigningKeyError> {
  const text = yield* readText(file)
  // A private key would stand for its public one, and has no business on a host.
  const blocks = text.match(/-----BEGIN [^-]*-----[^-]*-----END [^-]*-----/g) ?? []
  if (blocks.length === 0 || blocks.some((block) => !block.startsWith("-----BEGIN PUBLIC KEY-----"))) {
    return yield* new SigningKeyError({ file, reason: "expected public keys in PEM, and nothing else" })
  }
  return yield* Effect.forEach(blocks, (block) =>
    parse(file, "public key", () => createPublicKey(block)).pipe(
      Effect.flatMap((key) => ofKind(file, key)),
      Effect.map((key) => ({ id: keyId(key), key })),
    ),
  )
})

/** A new pair of keys as PEM files have them, and the name of both. */
export const makeSigningKey: Effect.Effect<{
  readonly id: string
  readonly privateKey: string
  readonly publicKey: string
}> = Effect.sync(() => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519")
  return {
    id: keyId(publicKey),
    privateKey: privateKey.export({ format: "pem", type: "pkcs8" }) as string,
    publicKey: publicKey.export({ format: "pem", type: "spki" }) as string,
  }
})
