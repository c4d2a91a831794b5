import { Effect, FileSystem } from "effect"
import { Argument, Command } from "effect/cli"
import { makeSigningKey } from "../bundle/SigningKey.ts"
import { failed, told } from "./CommandError.ts"
import * as Output from "./Output.ts"

/** `plugin-supervisor keygen FILE`. */
export const keygen = Command.make(
  "keygen",
  {
    file: Argument.String("file").pipe(
      Argument.withDescription("Where the private key goes, for its user only; the public one goes to FILE.pub"),
    ),
    json: Output.json,
  },
  ({ file, json }) =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const { id, privateKey, publicKey } = yield* makeSigningKey
      const write = (to: string, text: string, mode: number) =>
        fileSystem
          .writeFileString(to, text, { flag: "wx", mode })
          .pipe(
            Effect.mapError((error) =>
              error.reason._tag === "AlreadyExists"
                ? failed(`${to} is there already, and a key is not replaced; choose another name`)
                : told(error),
            ),
          )
      const publicFile = `${file}.pub`
      yield* write(file, privateKey, 0o600)
      yield* write(publicFile, publicKey, 0o644)
      if (json) return yield* Output.printJson({ key_id: id, private_key: file, public_key: publicFile })
      yield* Output.printLine(
        `The key ${id}`,
        { text: "is made;", paint: "green" },
        `sign with --key ${file}; hosts trust it by serve --trusted-key ${publicFile}`,
      )
    }),
).pipe(Command.withDescription("Make a pair of keys, to sign bundles with"))
