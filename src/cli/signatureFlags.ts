import { Effect, Layer } from "effect"
import { CliError, Flag } from "effect/cli"
import { SignaturePolicy, type SignaturePolicyValues } from "../bundle/BundleSignature.ts"
import { readTrustedKeys, type TrustedKey } from "../bundle/SigningKey.ts"

/** The flags for whose bundles are installed. */
export const signatureFlags = {
  signatures: Flag.Literals("signatures", ["off", "warn", "require"]).pipe(
    Flag.withDescription(
      "What is asked of a bundle that is installed: nothing, a trusted signature or a warning, or a trusted signature. Default off",
    ),
    Flag.withDefault("off"),
  ),
  trustedKeys: Flag.File("trusted-key", { mustExist: true }).pipe(
    Flag.withDescription("File with public keys (PEM) whose signatures are trusted; may be repeated"),
    Flag.atLeast(0),
    Flag.mapEffect((files) =>
      Effect.mapError(
        Effect.map(Effect.forEach(files, readTrustedKeys), (keys) => keys.flat()),
        ({ message }) => new CliError.UserError({ cause: `--trusted-key: ${message}` }),
      ),
    ),
  ),
}

/** What these flags say. */
export interface SignatureFlags {
  readonly signatures: SignaturePolicyValues["mode"]
  readonly trustedKeys: ReadonlyArray<TrustedKey>
}

/** Whose bundles are installed, for all that is run with it. */
export const signatureLayer = ({ signatures, trustedKeys }: SignatureFlags): Layer.Layer<never, CliError.UserError> =>
  signatures === "require" && trustedKeys.length === 0
    ? Layer.effectDiscard(
        Effect.fail(
          new CliError.UserError({
            cause: "--signatures require without a key to trust would refuse every bundle; name one by --trusted-key",
          }),
        ),
      )
    : Layer.succeed(SignaturePolicy, { mode: signatures, keys: trustedKeys })
