import type { DescField, DescMethodUnary } from "@bufbuild/protobuf"
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt"
import type { Request, Response } from "../rpc/RpcMethod.ts"
import type { Field, FieldOf } from "./Fields.ts"

/** What it means that a plugin can't be asked in a hook that decides: it is passed over, or what it was asked about is refused. */
export type OnFailure = "allow" | "refuse"

/**
 * How a hook decides: plugins are asked one after the other, each about what the one before it made of the matter, and the
 * first refusal ends it.
 */
export interface Decision<M extends DescMethodUnary> {
  /**
   * Which fields of the request a plugin may replace, and by which of its response. A field of the response that is empty
   * leaves the request as it is.
   */
  readonly replaces?:
    | { readonly [F in Field<Request<M>>]?: FieldOf<Response<M>, NonNullable<Request<M>[F]>> }
    | undefined
  /**
   * The field of the response whose text refuses, where it is not empty; `false` where a plugin may only change the matter, as
   * `replaces` or `apply` says, or where the contract's `errors` refuse.
   */
  readonly refusal: FieldOf<Response<M>, string> | false
  /** What of the request changes, where that is more than fields in the place of others. */
  readonly apply?: ((request: Request<M>, response: Response<M>) => Partial<Request<M>>) | undefined
  /** What a failure means unless an operator says otherwise. Default `allow`. */
  readonly onFailure?: OnFailure | undefined
  /** What is refused, as users are told: "Post". Default: the hook's name. */
  readonly subject?: string | undefined
}

/** A {@link Decision} at run time, whatever its hook. */
export interface AnyDecision {
  readonly replaces?: { readonly [field: string]: string | undefined } | undefined
  readonly refusal: string | false
  readonly apply?: ((request: never, response: never) => object) | undefined
  readonly onFailure?: OnFailure | undefined
  readonly subject?: string | undefined
}

/** What of a request changes by a response. */
export const changes = (
  { apply, replaces }: AnyDecision,
  { output }: DescMethodUnary,
  request: object,
  response: object,
): object | undefined => {
  const applied = apply?.(request as never, response as never)
  if (replaces === undefined) return applied
  const changed: { [field: string]: unknown } = {}
  for (const [field, by] of Object.entries(replaces)) {
    const described = output.fields.find(({ localName }) => localName === by)
    const value = (response as { readonly [field: string]: unknown })[by!]
    if (described !== undefined && !isEmpty(described, value)) changed[field] = value
  }
  return { ...changed, ...applied }
}

/** Whether a field says nothing. One that is declared `optional` says what it is set to. */
const isEmpty = ({ fieldKind, presence }: DescField, value: unknown): boolean => {
  if (value === undefined) return true
  if (fieldKind === "list") return (value as ReadonlyArray<unknown>).length === 0
  if (fieldKind === "map") return Object.keys(value as object).length === 0
  if (presence !== FeatureSet_FieldPresence.IMPLICIT) return false
  return value instanceof Uint8Array ? value.length === 0 : !value
}
