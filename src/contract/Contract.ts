import type { DescMethod, DescMethodUnary, DescService } from "@bufbuild/protobuf"
import type { HandshakeConfig } from "../goplugin/Handshake.ts"
import type { AnyDecision, Decision } from "./Decision.ts"
import type { BusinessErrors } from "./BusinessErrors.ts"
import type { UnaryHookOf } from "./HookNames.ts"
import { lifecycleOf, type OwnLifecycle } from "./Lifecycle.ts"
import type { AnyContract, Contract, HookKind, HookSpec, UserHeader } from "./AnyContract.ts"

export type { AnyContract, Contract, HookKind, HookSpec, UserHeader } from "./AnyContract.ts"
import { checkContract } from "./ContractCheck.ts"
import { type PluginFacts, standardVariables } from "./PluginFacts.ts"

/** What a backend says of its contract. `H` are the hooks, `A` the host API. */
export interface ContractOptions<
  H extends DescService,
  A extends DescService,
  D extends UnaryHookOf<H>,
  T extends UnaryHookOf<H>,
  S extends UnaryHookOf<H>,
> {
  /** The service that plugins offer: what the host calls. */
  readonly hooks: H
  /** The service that the host offers: what plugins call. */
  readonly api: A
  /** What hosts and plugins of this contract agree on. Default of `protocolVersions`: 1. */
  readonly handshake: Omit<HandshakeConfig, "protocolVersions"> & Partial<Pick<HandshakeConfig, "protocolVersions">>
  /** The hooks that decide, and how. */
  readonly deciding?: { readonly [K in D]: Decision<H["method"][K] & DescMethodUnary> } & {
    // For editors, which complete the names by it.
    readonly [K in UnaryHookOf<H>]?: unknown
  }
  /** Hooks that only tell although their responses have fields: a failure in them is logged, and that is all. */
  readonly notifying?: ReadonlyArray<T> | undefined
  /** Hooks whose responses have no fields, and that tell one plugin nevertheless: they are called, and never told to all. */
  readonly single?: ReadonlyArray<S> | undefined
  /** The contract's own rpcs for what every contract has. Default: the services of `plugin_supervisor.v1`. */
  readonly lifecycle?: OwnLifecycle<H> | undefined
  /** How errors travel inside responses. Default: as statuses only. */
  readonly errors?: BusinessErrors | undefined
  /** Whether the host serves `HostKeyValues`, `HostSettings`, `HostLog` and `HostIdentity` beside the API. Default true. */
  readonly hostServices?: boolean | undefined
  /**
   * Whether the host stores or sends messages as JSON: then one with an integer of 64 bits that JSON can't carry (beyond
   * ±(2⁵³ − 1)), or with a number that is not finite, is refused. Default false.
   */
  readonly json?: boolean | undefined
  /**
   * The header by which plugins are told whose request an HTTP request is. No client can set either of them. Default
   * `Plugin-Supervisor-User-Id`.
   */
  readonly userHeader?: UserHeader | undefined
  /** The variables by which a plugin finds the host. Default: those of `plugin_supervisor.v1` (see docs/contracts.md). */
  readonly variables?: ((facts: PluginFacts) => { readonly [name: string]: string }) | undefined
}

/**
 * Makes the contract of a backend: two services of its own `.proto`, and what they can't say of their hooks. Throws
 * `ContractError` for one that can't work, with all that is wrong with it.
 *
 * A hook whose response has no fields only tells; one that is in `deciding` decides; any other asks.
 */
export const make = <
  H extends DescService,
  A extends DescService,
  D extends UnaryHookOf<H> = never,
  T extends UnaryHookOf<H> = never,
  S extends UnaryHookOf<H> = never,
>(
  options: ContractOptions<H, A, D, T, S>,
): Contract<H, A, D, T, S> => {
  const { api, errors, handshake, hooks, hostServices = true, json = false } = options
  const { userHeader = "Plugin-Supervisor-User-Id", variables = standardVariables } = options
  const deciding: { readonly [hook: string]: AnyDecision | undefined } = options.deciding ?? {}
  checkContract(options as never)
  const lifecycle = lifecycleOf(hooks, options.lifecycle)
  const kindOf = ({ localName, output }: DescMethod): HookKind => {
    if (deciding[localName] !== undefined) return "decides"
    const isEmpty = output.fields.length === 0 && !options.single?.some((hook) => hook === localName)
    return isEmpty || options.notifying?.some((hook) => hook === localName) ? "tells" : "asks"
  }
  const own = hooks.methods.filter(isUnary).filter((method) => method !== lifecycle.implemented)
  const unary = new Map(
    own.map((method): [string, HookSpec] => [
      method.localName,
      { name: method.name, method, kind: kindOf(method), decision: deciding[method.localName] },
    ]),
  )
  for (const hook of ["onActivate", "onConfigurationChange", "onDeactivate"] as const) {
    const method = lifecycle[hook]
    const spec = unary.get(method.localName) ?? { name: method.name, method, kind: "asks" }
    unary.set(hook, spec)
  }
  return {
    hooks,
    api,
    handshake: { protocolVersions: [1], ...handshake },
    unary,
    lifecycle,
    errors,
    hostServices,
    json,
    userHeader,
    variables,
    "~names": {} as Contract<H, A, D, T, S>["~names"],
  }
}

const isUnary = (method: DescMethod): method is DescMethodUnary => method.methodKind === "unary"

/** A hook's name as the contract and plugins write it, for example `OnActivate`. */
export const hookName = ({ lifecycle, unary }: AnyContract, hook: string): string =>
  hook === "serveHTTP" ? lifecycle.serveHTTP.name : (unary.get(hook)?.name ?? hook)

/** Every hook, by its camelCase name. */
export const allHooks = ({ unary }: AnyContract): ReadonlyArray<string> => [...unary.keys(), "serveHTTP"]

/** The names of what a contract's host says to plugins in their environment: nobody else may. */
export const ownVariables = ({ handshake, variables }: AnyContract): ReadonlyArray<string> => [
  handshake.magicCookieKey,
  ...Object.keys(variables({ pluginId: "", bundlePath: "", apiTarget: "", logLevel: "INFO", hookTimeoutSeconds: 0 })),
]
