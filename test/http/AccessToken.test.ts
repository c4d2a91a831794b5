import { execFileSync } from "node:child_process"
import { chmodSync, mkdirSync, readFileSync, rmdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Inspectable, Layer, Option, Redacted } from "effect"
import { VARIABLES } from "../../src/command/Variables.ts"
import { AccessToken, AccessTokenFileError } from "../../src/http/AccessToken.ts"
import { authenticator } from "../../src/http/HttpAuthorization.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { Workspace } from "../../src/workspace/Workspace.ts"
import { temporaryFolder } from "../support/folder.ts"

const tokenFrom = (environment: { readonly [name: string]: string }) =>
  Effect.provide(
    AccessToken,
    Layer.fresh(AccessToken.layer).pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(environment)))),
  )

const tokenIn = (file: string) => Effect.provide(AccessToken, Layer.fresh(AccessToken.layerFile(file)))

describe("the access token", () => {
  it.effect("comes from the environment", () =>
    Effect.gen(function* () {
      const token = yield* tokenFrom({ [VARIABLES.accessToken]: "s3cret" })
      assert.deepStrictEqual(token.source, { _tag: "Variable" })
      assert.isTrue(token.matches("s3cret"))
      for (const wrong of [undefined, "", "s3cre", "s3cret ", "S3CRET", "\u{10000}"]) {
        assert.isFalse(token.matches(wrong))
      }
      assert.notInclude(Inspectable.toStringUnknown(token), "s3cret")
    }),
  )

  it.effect("is made at random when there is none, or an empty one", () =>
    Effect.gen(function* () {
      const made = [yield* tokenFrom({}), yield* tokenFrom({ [VARIABLES.accessToken]: "" })]
      for (const token of made) {
        assert.deepStrictEqual(token.source, { _tag: "Generated" })
        assert.match(Redacted.value(token.value), /^[A-Za-z0-9_-]{43}$/)
        assert.isTrue(token.matches(Redacted.value(token.value)))
        assert.isFalse(token.matches(""))
      }
      assert.notStrictEqual(Redacted.value(made[0]!.value), Redacted.value(made[1]!.value))
    }),
  )

  it.effect("is kept in a file, which is made for its user alone when it is missing", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const file = join(root, "data/secrets/token")
      const made = yield* tokenIn(file)
      assert.strictEqual(statSync(join(root, "data")).mode & 0o777, 0o700)
      assert.match(Redacted.value(made.value), /^[A-Za-z0-9_-]{43}$/)
      assert.deepStrictEqual(made.source, { _tag: "File", file })
      assert.strictEqual(readFileSync(file, "utf8"), `${Redacted.value(made.value)}\n`)
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      const again = yield* tokenIn(file)
      assert.isTrue(again.matches(Redacted.value(made.value)))
      writeFileSync(file, "  own-token_1.2~3 \r\n")
      assert.isTrue((yield* tokenIn(file)).matches("own-token_1.2~3"))
      // A link to it will do.
      symlinkSync(file, join(root, "link"))
      assert.isTrue((yield* tokenIn(join(root, "link"))).matches("own-token_1.2~3"))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
  )

  it.effect("is not taken from a file that others may read, or that holds something else", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const file = join(root, "token")
      const refused = (expected: RegExp) =>
        Effect.map(Effect.flip(tokenIn(file)), (error) => {
          assert.instanceOf(error, AccessTokenFileError)
          assert.match(error.message, expected)
          assert.include(error.message, file)
          assert.notInclude(error.message, "s3cret")
        })
      for (const mode of [0o640, 0o604, 0o660, 0o644]) {
        writeFileSync(file, "s3cret")
        chmodSync(file, mode)
        yield* refused(/chmod 600/)
        rmSync(file)
      }
      for (const content of ["", " \n", "two s3crets", "one-s3cret\nanother", "s3crét", "s3cret".repeat(1000)]) {
        writeFileSync(file, content, { mode: 0o600 })
        yield* refused(/one token|more than 4096 bytes/)
        rmSync(file)
      }
      mkdirSync(file)
      yield* refused(/no file/)
      rmdirSync(file)
      // Whoever would read from a pipe waits for ever.
      execFileSync("mkfifo", ["-m", "600", file])
      yield* refused(/no file/)
      writeFileSync(join(root, "no-folder"), "")
      const error = yield* Effect.flip(tokenIn(join(root, "no-folder/token")))
      assert.instanceOf(error, AccessTokenFileError)
      assert.include(error.message, "its folder can't be made")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
  )

  it.effect("is the administrator's, for plugins", () =>
    Effect.gen(function* () {
      const authenticate = yield* authenticator
      const { me } = yield* Workspace
      assert.deepStrictEqual(yield* authenticate("t"), Option.some((yield* me).id))
      assert.deepStrictEqual(yield* authenticate("u"), Option.none())
    }).pipe(
      Effect.provide(
        Layer.mergeAll(
          Workspace.layerTest.pipe(Layer.provide(MattermostPlugins.layer)),
          Layer.succeed(AccessToken, AccessToken.make(Redacted.make("t"))),
        ),
      ),
    ),
  )
})
