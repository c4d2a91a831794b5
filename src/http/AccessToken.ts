import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import { Config, Context, Effect, Layer, Option, Redacted } from "effect"

/** The environment variable that holds the access token. */
export const ACCESS_TOKEN_VARIABLE = "PLUGIN_SUPERVISOR_TOKEN"

/** Length of a token made here: beyond guessing. */
const TOKEN_BYTES = 32

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

/** The secret by which programs prove that they may use the host; whoever has it acts as the administrator. */
export class AccessToken extends Context.Service<
  AccessToken,
  {
    readonly value: Redacted.Redacted
    /** Whether the token was made here; then somebody has to be told of it. */
    readonly isGenerated: boolean
    /** Whether a candidate is the token; how long it takes says nothing about the token. */
    readonly matches: (candidate: string | undefined) => boolean
  }
>()("effect-plugin-supervisor/http/AccessToken") {
  /** A given token. */
  static readonly make = (value: Redacted.Redacted, isGenerated = false): AccessToken["Service"] => {
    const expected = digest(Redacted.value(value))
    return {
      value,
      isGenerated,
      // Digests are of one length, as the comparison needs.
      matches: (candidate) => candidate !== undefined && timingSafeEqual(digest(candidate), expected),
    }
  }

  /** The token in {@link ACCESS_TOKEN_VARIABLE}; where it is unset or empty, one made at random for this run. */
  static readonly layer: Layer.Layer<AccessToken, Config.ConfigError> = Layer.effect(
    AccessToken,
    Effect.gen(function* () {
      const configured = yield* Config.option(Config.Redacted(ACCESS_TOKEN_VARIABLE))
      return Option.match(
        Option.filter(configured, (token) => Redacted.value(token) !== ""),
        {
          onSome: (token) => AccessToken.make(token),
          onNone: () => AccessToken.make(Redacted.make(randomBytes(TOKEN_BYTES).toString("base64url")), true),
        },
      )
    }),
  )
}
