import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Inspectable, Layer, Option, Redacted } from "effect"
import { HookDispatcher } from "../../src/hooks/HookDispatcher.ts"
import { ACCESS_TOKEN_VARIABLE, AccessToken } from "../../src/http/AccessToken.ts"
import { authenticator } from "../../src/http/HttpAuthorization.ts"
import { Workspace } from "../../src/workspace/Workspace.ts"

const tokenFrom = (environment: { readonly [name: string]: string }) =>
  Effect.provide(
    AccessToken,
    Layer.fresh(AccessToken.layer).pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(environment)))),
  )

describe("the access token", () => {
  it.effect("comes from the environment", () =>
    Effect.gen(function* () {
      const token = yield* tokenFrom({ [ACCESS_TOKEN_VARIABLE]: "s3cret" })
      assert.isFalse(token.isGenerated)
      assert.isTrue(token.matches("s3cret"))
      for (const wrong of [undefined, "", "s3cre", "s3cret ", "S3CRET", "\u{10000}"]) {
        assert.isFalse(token.matches(wrong))
      }
      assert.notInclude(Inspectable.toStringUnknown(token), "s3cret")
    }),
  )

  it.effect("is made at random when there is none, or an empty one", () =>
    Effect.gen(function* () {
      const made = [yield* tokenFrom({}), yield* tokenFrom({ [ACCESS_TOKEN_VARIABLE]: "" })]
      for (const token of made) {
        assert.isTrue(token.isGenerated)
        assert.match(Redacted.value(token.value), /^[A-Za-z0-9_-]{43}$/)
        assert.isTrue(token.matches(Redacted.value(token.value)))
        assert.isFalse(token.matches(""))
      }
      assert.notStrictEqual(Redacted.value(made[0]!.value), Redacted.value(made[1]!.value))
    }),
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
          Workspace.layerTest.pipe(Layer.provide(HookDispatcher.layer)),
          Layer.succeed(AccessToken, AccessToken.make(Redacted.make("t"))),
        ),
      ),
    ),
  )
})
