import { Duration, Effect, Schema } from "effect"
import { mendThese, Problem, problemsOf } from "../bundle/Problem.ts"
import { allHooks, type AnyContract, hookName } from "../contract/Contract.ts"
import type { HooksOptions } from "./HookPolicy.ts"

/** Policies that can't be used. All that is wrong with them is told at once. */
export class HookPoliciesError extends Schema.TaggedError<HookPoliciesError>()("HookPoliciesError", {
  problems: Schema.Array(Problem),
}) {
  override get message(): string {
    return `These hook policies can't be used; ${mendThese(this.problems)}`
  }
}

const Deadline = Schema.DurationFromString.check(
  Schema.makeFilter(
    (deadline: Duration.Duration) =>
      (Duration.isFinite(deadline) && Duration.toMillis(deadline) >= 1) ||
      'expected a millisecond or more, such as "5 seconds"',
  ),
)

/** What goes wrong without notice is a name that is mistyped: nothing unknown is passed over. */
const unknown = (what: string) => ({ messageUnexpectedKey: what })

const policy = (contract: AnyContract, hook: string) =>
  Schema.Struct({
    deadline: Schema.optionalKey(Deadline),
    onFailure: Schema.optionalKey(
      Schema.Literals(["allow", "refuse"]).check(
        Schema.makeFilter(
          (onFailure: "allow" | "refuse") =>
            onFailure === "allow" ||
            contract.unary.get(hook)?.kind === "decides" ||
            `${hookName(contract, hook)} decides nothing that could be refused`,
        ),
      ),
    ),
  }).annotate(unknown('unknown setting; there are "deadline" and "onFailure"'))

/** By the names that the contract and plugins give to hooks, which is how operators know them. */
const policies = (contract: AnyContract) =>
  Schema.Struct(
    Object.fromEntries(
      allHooks(contract).map((hook) => [hookName(contract, hook), Schema.optionalKey(policy(contract, hook))]),
    ),
  ).annotate(unknown("there is no such hook"))

const decoder = (contract: AnyContract) =>
  Schema.decodeUnknownEffect(
    Schema.Record(
      Schema.String,
      Schema.Struct({
        deadline: Schema.optionalKey(Deadline),
        policies: Schema.optionalKey(policies(contract)),
      }).annotate(unknown('unknown setting; there are "deadline" and "policies"')),
    ),
    { errors: "all", onExcessProperty: "error" },
  )

/**
 * Reads what an operator has written of the hooks of a contract's plugins, by the plugins' ids:
 * `{ "guard": { "deadline": "5 seconds", "policies": { "MessageWillBePosted": { "onFailure": "refuse" } } } }`.
 */
export const hookPolicies = Effect.fnUntraced(function* <C extends AnyContract>(
  contract: C,
  written: unknown,
): Effect.fn.Return<{ readonly [pluginId: string]: HooksOptions<C> }, HookPoliciesError> {
  const decoded = yield* Effect.mapError(
    decoder(contract)(written),
    ({ issue }) => new HookPoliciesError({ problems: problemsOf(issue) }),
  )
  const ids = Object.keys(decoded).map((id) => id.toLowerCase())
  const twice = Object.keys(decoded).filter((id, index) => ids.indexOf(id.toLowerCase()) !== index)
  if (twice.length > 0) {
    return yield* new HookPoliciesError({
      problems: twice.map((path) => ({ path, message: "the plugin has settings already; ids are in lower case" })),
    })
  }
  return Object.fromEntries(
    Object.entries(decoded).map(([id, { deadline, policies = {} }]): [string, HooksOptions<C>] => [
      // As in a manifest.
      id.toLowerCase(),
      {
        deadline,
        policies: Object.fromEntries(
          allHooks(contract).map((hook) => [hook, policies[hookName(contract, hook)]]),
        ) as HooksOptions<C>["policies"],
      },
    ]),
  )
})
