import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import { dirname, resolve } from "node:path"
import { Config, Context, Effect, FileSystem, Layer, Option, Redacted, Schema } from "effect"
import type { PlatformError } from "effect/PlatformError"
import { VARIABLES } from "../command/Variables.ts"
import { makeFolder } from "../bundle/PrivateFolder.ts"

/** Length of a token made here: beyond guessing. */
const TOKEN_BYTES = 32

/** The largest file that a token is read from, in bytes: anything larger is something else. */
const MAX_TOKEN_FILE = 4096

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

const randomToken = Effect.sync(() => Redacted.make(randomBytes(TOKEN_BYTES).toString("base64url")))

/** The file with the access token can't be used. */
export class AccessTokenFileError extends Schema.TaggedError<AccessTokenFileError>()("AccessTokenFileError", {
  file: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `can't take the access token from ${this.file}: ${this.reason}`
  }
}

/** Where a token is from, for telling people where they find it. */
export type TokenSource =
  | { readonly _tag: "File"; readonly file: string }
  | { readonly _tag: "Variable" }
  /** Made for this run; then somebody has to be told of it. */
  | { readonly _tag: "Generated" }

/** The secret by which programs prove that they may use the host; whoever has it acts as the administrator. */
export class AccessToken extends Context.Service<
  AccessToken,
  {
    readonly value: Redacted.Redacted
    readonly source: TokenSource
    /** Whether a candidate is the token; how long it takes says nothing about the token. */
    readonly matches: (candidate: string | undefined) => boolean
  }
>()("effect-plugin-supervisor/http/AccessToken") {
  /** A given token. */
  static readonly make = (
    value: Redacted.Redacted,
    source: TokenSource = { _tag: "Variable" },
  ): AccessToken["Service"] => {
    const expected = digest(Redacted.value(value))
    return {
      value,
      source,
      // Digests are of one length, as the comparison needs.
      matches: (candidate) => candidate !== undefined && timingSafeEqual(digest(candidate), expected),
    }
  }

  /** The token in `VARIABLES.accessToken`; where it is unset or empty, one made at random for this run. */
  static readonly layer: Layer.Layer<AccessToken, Config.ConfigError> = Layer.effect(
    AccessToken,
    Effect.gen(function* () {
      const configured = yield* Config.option(Config.Redacted(VARIABLES.accessToken))
      const given = Option.filter(configured, (token) => Redacted.value(token) !== "")
      return Option.isSome(given)
        ? AccessToken.make(given.value)
        : AccessToken.make(yield* randomToken, { _tag: "Generated" })
    }),
  )

  /** The token in `file`, or else the one in the environment, or else one made for this run. */
  static readonly layerFrom = (
    file: Option.Option<string>,
  ): Layer.Layer<AccessToken, AccessTokenFileError | Config.ConfigError, FileSystem.FileSystem> =>
    Option.isSome(file) ? AccessToken.layerFile(file.value) : AccessToken.layer

  /**
   * The token in a file, which nobody but its user may read; blanks around it don't count. A file that is missing is
   * made, with a random token and the mode 0600, and so is its folder, with the mode 0700.
   */
  static readonly layerFile = (file: string): Layer.Layer<AccessToken, AccessTokenFileError, FileSystem.FileSystem> =>
    Layer.effect(
      AccessToken,
      Effect.map(fromFile(file), (value) => AccessToken.make(value, { _tag: "File", file })),
    )
}

const fromFile = Effect.fn("AccessToken.fromFile")(function* (file: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const refused = (reason: string) => new AccessTokenFileError({ file, reason })
  const orRefused = <A>(self: Effect.Effect<A, PlatformError>) =>
    Effect.mapError(self, (error) => refused(error.message))

  yield* Effect.try({
    try: () => makeFolder(dirname(resolve(file))),
    catch: (error) => refused(`its folder can't be made: ${error instanceof Error ? error.message : String(error)}`),
  })
  const made = yield* randomToken
  // Made by this call or not at all, and with the right mode from the first moment on.
  const isMade = yield* fileSystem.writeFileString(file, `${Redacted.value(made)}\n`, { flag: "wx", mode: 0o600 }).pipe(
    Effect.as(true),
    Effect.catchIf(
      ({ reason }) => reason._tag === "AlreadyExists",
      () => Effect.succeed(false),
    ),
    orRefused,
  )
  if (isMade) return made

  const { mode, size, type } = yield* orRefused(fileSystem.stat(file))
  // Reading from a pipe would wait for whoever writes to it.
  if (type !== "File") return yield* refused("it is no file")
  if (process.platform !== "win32" && (mode & 0o077) !== 0) {
    return yield* refused(`others may read it, or write to it; close it with chmod 600 ${file}`)
  }
  if (Number(size) > MAX_TOKEN_FILE) return yield* refused(`it has more than ${MAX_TOKEN_FILE} bytes`)
  const token = (yield* orRefused(fileSystem.readFileString(file))).trim()
  if (!/^[\x21-\x7e]+$/.test(token)) {
    return yield* refused("it has to hold one token, of letters and signs of ASCII; remove it, and a new one is made")
  }
  return Redacted.make(token)
})
