import type { DescMethodUnary, DescService } from "@bufbuild/protobuf"
import type { HandshakeConfig } from "../goplugin/Handshake.ts"
import type { BusinessErrors } from "./BusinessErrors.ts"
import type { AnyDecision } from "./Decision.ts"
import type { Lifecycle } from "./Lifecycle.ts"
import type { PluginFacts } from "./PluginFacts.ts"

/** What a hook is for: see `Contract.make`: `deciding`, `notifying` and `single`. */
export type HookKind = "asks" | "decides" | "tells"

/** A unary hook at run time. */
export interface HookSpec {
  /** As the contract and plugins write it, for example `OnActivate`. */
  readonly name: string
  readonly method: DescMethodUnary
  readonly kind: HookKind
  /** Of one that decides. */
  readonly decision?: AnyDecision | undefined
}

/** Names of headers that say whose request a request is, and that `HeaderRules` takes from clients. */
export type UserHeader = "Plugin-Supervisor-User-Id" | "Mattermost-User-Id"

/** A contract between a backend and its plugins; made by `Contract.make`. */
export interface Contract<
  out H extends DescService,
  out A extends DescService,
  out D extends string = never,
  out T extends string = never,
  out S extends string = never,
> {
  readonly hooks: H
  readonly api: A
  readonly handshake: HandshakeConfig
  /** The unary hooks by their camelCase names, those of the life cycle among them. */
  readonly unary: ReadonlyMap<string, HookSpec>
  readonly lifecycle: Lifecycle
  readonly errors: BusinessErrors | undefined
  readonly hostServices: boolean
  readonly json: boolean
  readonly userHeader: UserHeader
  readonly variables: (facts: PluginFacts) => { readonly [name: string]: string }
  /** For types alone. */
  readonly "~names": { readonly deciding: D; readonly notifying: T; readonly single: S }
}

/** Any contract. */
export type AnyContract = Contract<DescService, DescService, string, string, string>
