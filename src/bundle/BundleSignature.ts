import { randomUUID, sign, verify, type KeyObject } from "node:crypto"
import { readFile, rename, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Context, Effect, Schema } from "effect"
import { abortable, BundleFile, inOrder, removeAll } from "./BundleFiles.ts"
import { hashFolder } from "./BundleFolder.ts"
import { BundleLimits } from "./BundleLimits.ts"
import { type BundleRefusedError, refused } from "./BundleRefusedError.ts"
import { printable } from "./EntryName.ts"
import type { Manifest, ManifestError } from "./Manifest.ts"
import { type BundleError, type PluginBundle, PluginBundles } from "./PluginBundle.ts"
import { keyId, type TrustedKey } from "./SigningKey.ts"

/** Where a bundle has its signature. */
export const SIGNATURE_FILE = "signature.json"

/** Stands before what is signed, so that a signature for something else is never one for a bundle. */
const DOMAIN = "effect-plugin-supervisor bundle 1\n"

/** Bytes of a signature's file that are read: each of 20,000 files has some 200. */
const SIGNATURE_LIMIT = 16 * 1024 * 1024

/** What is signed: exactly this text, as it is stored, after {@link DOMAIN}. */
const Statement = Schema.fromJsonString(
  Schema.Struct({ id: Schema.String, version: Schema.String, files: Schema.Array(BundleFile) }),
)

const SignatureFile = Schema.fromJsonString(
  Schema.Struct({
    keyId: Schema.String.check(Schema.isPattern(/^[0-9a-f]{16}$/)),
    /** {@link Statement}; it is read only once its signature has been found good. */
    signed: Schema.String,
    /** In base64. */
    signature: Schema.String,
  }),
)

/** What a bundle's signature is worth. */
export type BundleSignature =
  /** Nobody has looked: the mode is `off`. */
  | { readonly _tag: "Unchecked" }
  | { readonly _tag: "Unsigned" }
  /** By a trusted key, for exactly these files. */
  | { readonly _tag: "Signed"; readonly keyId: string }
  | { readonly _tag: "UnknownKey"; readonly keyId: string }
  /** By a trusted key, but not for what is here; or not by it. */
  | { readonly _tag: "Bad"; readonly keyId: string; readonly reason: string }
  | { readonly _tag: "Unreadable"; readonly reason: string }

/** What is asked of signatures. */
export interface SignaturePolicyValues {
  /**
   * `off`: nobody looks. `warn`: a bundle without a signature by a trusted key is logged; one that is not what its
   * signature says is refused even so, since it was broken or changed on its way. `require`: only signed ones.
   */
  readonly mode: "off" | "warn" | "require"
  /** Remove a key to revoke it. */
  readonly keys: ReadonlyArray<TrustedKey>
}

/** What is asked of the signatures of bundles that are installed: by the `BundleStore` whose Layer is provided with it. Default: nothing. */
export const SignaturePolicy = Context.Reference<SignaturePolicyValues>(
  "effect-plugin-supervisor/bundle/SignaturePolicy",
  { defaultValue: () => ({ mode: "off", keys: [] }) },
)

/** A bundle whose signature does not suffice. */
export class BundleSignatureError extends Schema.TaggedError<BundleSignatureError>()("BundleSignatureError", {
  pluginId: Schema.String,
  state: Schema.Literals(["Unsigned", "UnknownKey", "Bad", "Unreadable"]),
  reason: Schema.String,
}) {
  override get message(): string {
    return `the bundle of the plugin ${this.pluginId} ${this.reason}`
  }
}

/** A plugin's manifest, as far as signatures name it. */
type Named = Pick<Manifest, "id" | "version">

/**
 * Signs the bundle in a folder: writes `signature.json`, over all files that {@link packBundle} takes. It has to be done
 * again after every change. Answers the key's id.
 *
 * ```ts
 * yield* signBundle("plugins/hello", yield* readPrivateKey("release.pem"))
 * yield* packBundle("plugins/hello", "hello-1.0.0.tar.gz")
 * ```
 */
export const signBundle = Effect.fn("signBundle")(function* (
  folder: string,
  privateKey: KeyObject,
): Effect.fn.Return<string, BundleRefusedError | BundleError | ManifestError, PluginBundles> {
  const { directory, manifest } = yield* (yield* PluginBundles).load(folder)
  const limits = yield* BundleLimits
  yield* abortable(async (signal) => {
    const files = await hashFolder(directory, limits, signal)
    const file = join(directory, SIGNATURE_FILE)
    const unfinished = `${file}.${randomUUID()}`
    try {
      await writeFile(unfinished, `${JSON.stringify(signed(manifest, files, privateKey), undefined, 1)}\n`)
      await rename(unfinished, file)
    } finally {
      await removeAll(unfinished)
    }
  }).pipe(Effect.mapError((error) => refused(folder, error)))
  return keyId(privateKey)
})

const signed = ({ id, version = "" }: Named, files: ReadonlyArray<BundleFile>, key: KeyObject) => {
  const statement = JSON.stringify({ id, version, files: inOrder(files.filter(({ path }) => path !== SIGNATURE_FILE)) })
  return {
    keyId: keyId(key),
    signed: statement,
    // Ed25519 has its own digest.
    signature: sign(null, Buffer.from(DOMAIN + statement), key).toString("base64"),
  }
}

/** What the signature in a folder is worth, for a bundle that has these files, all of them. */
export const checkSignature = Effect.fn("checkSignature")(function* (
  directory: string,
  manifest: Named,
  files: ReadonlyArray<BundleFile>,
  keys: ReadonlyArray<TrustedKey>,
): Effect.fn.Return<BundleSignature> {
  if (!files.some(({ path }) => path === SIGNATURE_FILE)) return { _tag: "Unsigned" }
  const stored = yield* Effect.result(readSignature(directory))
  if (stored._tag === "Failure") return { _tag: "Unreadable", reason: stored.failure }
  const { keyId, signature, signed } = stored.success
  const trusted = keys.find(({ id }) => id === keyId)
  if (trusted === undefined) return { _tag: "UnknownKey", keyId }
  const bad = (reason: string): BundleSignature => ({ _tag: "Bad", keyId, reason })
  if (!verify(null, Buffer.from(DOMAIN + signed), trusted.key, Buffer.from(signature, "base64"))) {
    return bad("its signature is not by that key, or what was signed has been changed")
  }
  const statement = yield* Effect.result(decodeStatement(signed))
  if (statement._tag === "Failure")
    return { _tag: "Unreadable", reason: "it was signed by another version of this program" }
  const difference = differenceFrom(statement.success, manifest, files)
  return difference === undefined ? { _tag: "Signed", keyId } : bad(difference)
})

/**
 * Why the signature in a folder does not suffice for what is there now, whoever has signed it: it was changed since, say.
 * Nothing where there is no signature.
 */
export const staleSignature = Effect.fn("staleSignature")(function* ({
  directory,
  manifest,
}: PluginBundle): Effect.fn.Return<string | undefined, BundleRefusedError> {
  const limits = yield* BundleLimits
  const files = yield* Effect.mapError(
    abortable((signal) => hashFolder(directory, limits, signal)),
    (error) => refused(directory, error),
  )
  if (!files.some(({ path }) => path === SIGNATURE_FILE)) return undefined
  return yield* readSignature(directory).pipe(
    Effect.flatMap(({ signed }) =>
      Effect.mapError(decodeStatement(signed), () => `${SIGNATURE_FILE} was signed by another version of this program`),
    ),
    Effect.match({
      onFailure: (reason) => reason,
      onSuccess: (statement) => differenceFrom(statement, manifest, files),
    }),
  )
})

const decodeFile = Schema.decodeUnknownEffect(SignatureFile)
const decodeStatement = Schema.decodeUnknownEffect(Statement)

const readSignature = Effect.fnUntraced(function* (directory: string) {
  const file = join(directory, SIGNATURE_FILE)
  const text = yield* Effect.tryPromise({
    try: async () => {
      if ((await stat(file)).size > SIGNATURE_LIMIT) throw new Error(`it has more than ${SIGNATURE_LIMIT} bytes`)
      return await readFile(file, "utf8")
    },
    catch: (error) => (error as Error).message,
  })
  return yield* Effect.mapError(decodeFile(text), () => `${SIGNATURE_FILE} is none of this program's`)
})

/** What is not as it was signed. */
const differenceFrom = (
  signed: typeof Statement.Type,
  { id, version = "" }: Named,
  files: ReadonlyArray<BundleFile>,
): string | undefined =>
  signed.id === id && signed.version === version
    ? differenceOf(signed.files, files)
    : `it was signed as ${printable(`${signed.id} ${signed.version}`)}`

/** The first file that is not as it was signed; both sides have to have the same. */
const differenceOf = (signed: ReadonlyArray<BundleFile>, files: ReadonlyArray<BundleFile>): string | undefined => {
  const rest = new Map(files.map((file) => [file.path, file]))
  rest.delete(SIGNATURE_FILE)
  for (const { mode, path, sha256, size } of signed) {
    const file = rest.get(path)
    if (file === undefined) return `${printable(path)} was signed and is missing`
    if (file.sha256 !== sha256 || file.size !== size) return `${printable(path)} was changed after it was signed`
    if (file.mode !== mode) return `${printable(path)} has another mode than was signed`
    rest.delete(path)
  }
  for (const path of rest.keys()) return `${printable(path)} was added after it was signed`
  return undefined
}

/** Holds a bundle's signature against the {@link SignaturePolicy}. */
export const requireSignature = Effect.fn("requireSignature")(function* (
  directory: string,
  manifest: Named,
  files: ReadonlyArray<BundleFile>,
): Effect.fn.Return<BundleSignature, BundleSignatureError> {
  const { keys, mode } = yield* SignaturePolicy
  if (mode === "off") return { _tag: "Unchecked" }
  const state = yield* checkSignature(directory, manifest, files, keys)
  if (state._tag === "Signed" || state._tag === "Unchecked") return state
  const error = new BundleSignatureError({ pluginId: manifest.id, state: state._tag, reason: reasonOf(state) })
  if (mode === "require" || state._tag === "Bad") return yield* error
  yield* Effect.logWarning(`${error.message}; it is taken, since signatures are not required`)
  return state
})

const reasonOf = (state: Exclude<BundleSignature, { readonly _tag: "Signed" | "Unchecked" }>): string => {
  switch (state._tag) {
    case "Unsigned":
      return "is not signed; have its author sign it"
    case "UnknownKey":
      return `is signed by the key ${state.keyId}, which is not trusted; add its public key to the trusted ones, if it is`
    case "Bad":
      return `is not what the key ${state.keyId} has signed: ${state.reason}; get it again from its author`
    case "Unreadable":
      return `has a signature that can't be read: ${state.reason}; have its author sign it again`
  }
}
