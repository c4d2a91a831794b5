import { Duration, Schema } from "effect"
import { unknownKey } from "../bundle/Problem.ts"
import { allHooks, type AnyContract, hookName } from "../contract/Contract.ts"
import type { HooksOptions } from "./HookPolicy.ts"

const Deadline = Schema.DurationFromString.check(
  Schema.makeFilter(
    (deadline: Duration.Duration) =>
      (Duration.isFinite(deadline) && Duration.toMillis(deadline) >= 1) ||
      'expected a millisecond or more, such as "5 seconds"',
  ),
)

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
  }).annotate(unknownKey(["deadline", "onFailure"]))

/** By the names that the contract and plugins give to hooks, which is how operators know them. */
const policies = (contract: AnyContract) =>
  Schema.Struct(
    Object.fromEntries(
      allHooks(contract).map((hook) => [hookName(contract, hook), Schema.optionalKey(policy(contract, hook))]),
    ),
  ).annotate({ messageUnexpectedKey: "there is no such hook" })

/**
 * What operators write of the hooks of one plugin: `{ "deadline": "5 seconds", "policies": { "MessageWillBePosted": {
 * "onFailure": "refuse" } } }`.
 */
export const writtenHooks = (contract: AnyContract) =>
  Schema.Struct({
    deadline: Schema.optionalKey(Deadline),
    policies: Schema.optionalKey(policies(contract)),
  }).annotate(unknownKey(["deadline", "policies"]))

/** What was written, by the names of the program. */
export const hooksOptions = <C extends AnyContract>(
  contract: C,
  { deadline, policies = {} }: ReturnType<typeof writtenHooks>["Type"],
): HooksOptions<C> => ({
  deadline,
  policies: Object.fromEntries(
    allHooks(contract).map((hook) => [hook, policies[hookName(contract, hook)]]),
  ) as HooksOptions<C>["policies"],
})
