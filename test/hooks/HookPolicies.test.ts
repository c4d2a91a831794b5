/** Policies as an operator writes them. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { hookPolicies } from "../../src/hooks/HookPolicies.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { allHooks, hookName } from "../../src/contract/Contract.ts"
import { HOOK_POLICY, policyOf } from "../../src/hooks/HookPolicy.ts"

const problems = (written: unknown) =>
  Effect.map(Effect.flip(hookPolicies(MattermostContract, written)), (error) =>
    error.problems.map(({ message, path }) => [path, message]),
  )

describe("hookPolicies", () => {
  it.effect("reads deadlines and what a failure means, by plugin and hook", () =>
    Effect.gen(function* () {
      const { guard, slow } = yield* hookPolicies(MattermostContract, {
        Guard: {
          deadline: "5 seconds",
          policies: {
            MessageWillBePosted: { onFailure: "refuse", deadline: "700 millis" },
            UserWillLogIn: { onFailure: "refuse" },
          },
        },
        slow: { policies: { ServeHTTP: { deadline: "2 minutes" } } },
      })
      assert.deepInclude(policyOf(MattermostContract, "messageWillBePosted", guard!), {
        onFailure: "refuse",
        deadline: Duration.millis(700),
      })
      assert.deepInclude(policyOf(MattermostContract, "userWillLogIn", guard!), {
        onFailure: "refuse",
        deadline: Duration.seconds(5),
      })
      assert.deepInclude(policyOf(MattermostContract, "serveHTTP", guard!), {
        onFailure: "allow",
        deadline: Duration.seconds(5),
      })
      assert.deepInclude(policyOf(MattermostContract, "serveHTTP", slow!), {
        onFailure: "allow",
        deadline: Duration.minutes(2),
      })
      assert.deepInclude(policyOf(MattermostContract, "messageWillBePosted", slow!), HOOK_POLICY)
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
      const error = yield* Effect.flip(hookPolicies(MattermostContract, { g: { policies: { Nothing: {} } } }))
      assert.strictEqual(
        error.message,
        "These hook policies can't be used; mend this: g.policies.Nothing: there is no such hook",
      )
    }),
  )

  it.effect("takes a refusal for the hooks that decide, and for no other", () =>
    Effect.gen(function* () {
      for (const hook of allHooks(MattermostContract)) {
        const name = hookName(MattermostContract, hook)
        const written = { p: { policies: { [name]: { onFailure: "refuse" } } } }
        if (MattermostContract.unary.get(hook)?.kind === "decides") yield* hookPolicies(MattermostContract, written)
        else {
          assert.deepStrictEqual(yield* problems(written), [
            [`p.policies.${name}.onFailure`, `${name} decides nothing that could be refused`],
          ])
        }
        yield* hookPolicies(MattermostContract, { p: { policies: { [name]: { onFailure: "allow" } } } })
      }
    }),
  )

  it.effect("takes each plugin once, in whatever case its id is written", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(hookPolicies(MattermostContract, { guard: {}, Guard: { deadline: "1 second" } }))
      assert.include(error.message, "Guard: the plugin has settings already; ids are in lower case")
    }),
  )
})
