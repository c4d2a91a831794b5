import { Duration } from "effect"
import type { AnyContract } from "../contract/Contract.ts"
import type { OnFailure } from "../contract/Decision.ts"
import type { DecidingHook, Hook } from "../contract/HookNames.ts"

/** How long a hook may take unless set otherwise: Mattermost's own limit for its Python plugins. */
export const HOOK_DEADLINE: Duration.Duration = Duration.seconds(30)

/** What a host makes of one hook of one plugin. */
export interface HookPolicy {
  /** How long a call may take, the plugin's handler and the way there and back. The plugin is told. */
  readonly deadline: Duration.Input
  /**
   * What it means that a plugin can't be asked in a hook that decides, because it has crashed, hangs or fails. `allow`: it
   * is passed over. `refuse`: what it was to be asked about is refused. Either way the failure is logged and counted.
   */
  readonly onFailure: OnFailure
}

/** A policy as it is in the end. */
export interface EffectivePolicy extends HookPolicy {
  /**
   * Whether an operator has said `refuse`: then the plugin has to agree whether it is active or not. Where it is only the
   * hook's default, a plugin that is not there is not missed.
   */
  readonly mustAgree: boolean
}

/** The policy of every hook unless said otherwise. */
export const HOOK_POLICY: HookPolicy = { deadline: HOOK_DEADLINE, onFailure: "allow" }

/** What an operator may set for one plugin's hooks, whatever their contract. */
export interface AnyHooksOptions {
  /** Deadline of every hook without one of its own. Default {@link HOOK_DEADLINE}. */
  readonly deadline?: Duration.Input | undefined
  /** Policies per hook. Default {@link HOOK_POLICY}. */
  readonly policies?: { readonly [hook: string]: Partial<HookPolicy> | undefined } | undefined
}

/** What an operator may set for the hooks of one plugin of a contract. */
export interface HooksOptions<C extends AnyContract> extends AnyHooksOptions {
  /** Policies per hook; only hooks that decide can refuse. Default {@link HOOK_POLICY}, or the contract's for that hook. */
  readonly policies?:
    | {
        readonly [K in Hook<C>]?:
          | Partial<K extends DecidingHook<C> ? HookPolicy : Pick<HookPolicy, "deadline">>
          | undefined
      }
    | undefined
}

/** The policy of a hook under these options. */
export const policyOf = ({ unary }: AnyContract, hook: string, options: AnyHooksOptions): EffectivePolicy => {
  const own: Partial<HookPolicy> = options.policies?.[hook] ?? {}
  return {
    deadline: own.deadline ?? options.deadline ?? HOOK_POLICY.deadline,
    onFailure: own.onFailure ?? unary.get(hook)?.decision?.onFailure ?? HOOK_POLICY.onFailure,
    mustAgree: own.onFailure === "refuse",
  }
}
