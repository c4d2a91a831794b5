/** Policies as an operator writes them. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { deciding } from "../../src/hooks/HookKind.ts"
import { hookName, unaryHooks } from "../../src/hooks/HookName.ts"
import { hookPolicies } from "../../src/hooks/HookPolicies.ts"
import { HOOK_POLICY, policyOf } from "../../src/hooks/HookPolicy.ts"

const problems = (written: unknown) =>
  Effect.map(Effect.flip(hookPolicies(written)), (error) => error.problems.map(({ message, path }) => [path, message]))

describe("hookPolicies", () => {
  it.effect("reads deadlines and what a failure means, by plugin and hook", () =>
    Effect.gen(function* () {
      const { guard, slow } = yield* hookPolicies({
        Guard: {
          deadline: "5 seconds",
          policies: {
            MessageWillBePosted: { onFailure: "refuse", deadline: "700 millis" },
            UserWillLogIn: { onFailure: "refuse" },
          },
        },
        slow: { policies: { ServeHTTP: { deadline: "2 minutes" } } },
      })
      assert.deepInclude(policyOf("messageWillBePosted", guard!), {
        onFailure: "refuse",
        deadline: Duration.millis(700),
      })
      assert.deepInclude(policyOf("userWillLogIn", guard!), { onFailure: "refuse", deadline: Duration.seconds(5) })
      assert.deepInclude(policyOf("serveHTTP", guard!), { onFailure: "allow", deadline: Duration.seconds(5) })
      assert.deepInclude(policyOf("serveHTTP", slow!), { onFailure: "allow", deadline: Duration.minutes(2) })
      assert.deepInclude(policyOf("messageWillBePosted", slow!), HOOK_POLICY)
    }),
  )

  it.effect("tells everything that is wrong at once, and where", () =>
    Effect.gen(function* () {
      const found = yield* problems({
        guard: {
          dedline: "5 seconds",
          policies: {
            MessageWilBePosted: { onFailure: "refuse" },
            MessageWillBePosted: { onFailure: "sometimes", deadline: "5 parsecs" },
            UserWillLogIn: { onFailure: "refuse", retries: 3 },
          },
        },
        other: { deadline: "0 seconds" },
        third: { deadline: "Infinity", policies: { OnActivate: { deadline: 5 } } },
        fourth: null,
      })
      assert.sameDeepMembers(found, [
        ["guard.dedline", 'unknown setting; there are "deadline" and "policies"'],
        ["guard.policies.MessageWilBePosted", "there is no such hook"],
        ["guard.policies.MessageWillBePosted.onFailure", 'Expected "allow" | "refuse"'],
        ["guard.policies.MessageWillBePosted.deadline", "Expected a valid Duration string"],
        ["guard.policies.UserWillLogIn.retries", 'unknown setting; there are "deadline" and "onFailure"'],
        ["other.deadline", 'expected a millisecond or more, such as "5 seconds"'],
        ["third.deadline", 'expected a millisecond or more, such as "5 seconds"'],
        ["third.policies.OnActivate.deadline", "Expected string"],
        ["fourth", "Expected object"],
      ])
      const error = yield* Effect.flip(hookPolicies({ g: { policies: { Nothing: {} } } }))
      assert.strictEqual(
        error.message,
        "These hook policies can't be used; mend this: g.policies.Nothing: there is no such hook",
      )
    }),
  )

  it.effect("takes a refusal for the hooks that decide, and for no other", () =>
    Effect.gen(function* () {
      for (const hook of [...unaryHooks, "serveHTTP" as const]) {
        const name = hookName(hook)
        const written = { p: { policies: { [name]: { onFailure: "refuse" } } } }
        if (hook in deciding) yield* hookPolicies(written)
        else {
          assert.deepStrictEqual(yield* problems(written), [
            [`p.policies.${name}.onFailure`, `${name} decides nothing that could be refused`],
          ])
        }
        yield* hookPolicies({ p: { policies: { [name]: { onFailure: "allow" } } } })
      }
    }),
  )

  it.effect("takes each plugin once, in whatever case its id is written", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(hookPolicies({ guard: {}, Guard: { deadline: "1 second" } }))
      assert.include(error.message, "Guard: the plugin has settings already; ids are in lower case")
    }),
  )
})
