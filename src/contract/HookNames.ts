import type { DescMethod } from "@bufbuild/protobuf"
import type { Request, Response, UnaryName } from "../rpc/RpcMethod.ts"
import type { AnyContract } from "./AnyContract.ts"
import type { Field } from "./Fields.ts"
import type { StandardHook } from "./Lifecycle.ts"

/** A hook of a service that is called with one message and answered with one, by the camelCase name of its rpc. */
export type UnaryHookOf<H extends AnyContract["hooks"]> = Exclude<UnaryName<H>, "implemented">

/** The rpc of a contract's hook. */
export type HookMethod<C extends AnyContract, K extends string> = C["hooks"]["method"][K]

/** A contract's unary hook, by the camelCase name of its rpc. */
export type UnaryHook<C extends AnyContract> = UnaryHookOf<C["hooks"]>

/** Any hook, by the camelCase name of its rpc. */
export type Hook<C extends AnyContract> = UnaryHook<C> | StandardHook

/** A hook that decides. */
export type DecidingHook<C extends AnyContract> = C["~names"]["deciding"]

type IsEmpty<M extends DescMethod> = [Field<Response<M>>] extends [never] ? true : false

/**
 * A hook that only tells: a plugin answers nothing but that it has taken the event. It is one whose response has no fields,
 * unless the contract says otherwise.
 */
export type Notification<C extends AnyContract> =
  | Exclude<
      { [K in UnaryHook<C>]: IsEmpty<HookMethod<C, K>> extends true ? K : never }[UnaryHook<C>],
      C["~names"]["single"] | DecidingHook<C>
    >
  | C["~names"]["notifying"]

/** A hook that asks for something: what each plugin answers counts. */
export type AskingHook<C extends AnyContract> = Exclude<UnaryHook<C>, DecidingHook<C> | Notification<C>>

/** A request as it is in the end. What it had in the beginning it still has. */
export type Decided<C extends AnyContract, K extends string, R> = Request<HookMethod<C, K>> & {
  readonly [F in keyof R & keyof Request<HookMethod<C, K>>]-?: NonNullable<Request<HookMethod<C, K>>[F]>
}
