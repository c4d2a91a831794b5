import type { DescMethod, DescMethodUnary, DescService } from "@bufbuild/protobuf"
import { PluginHttp } from "../generated/plugin_supervisor/v1/plugin_http_pb.js"
import { PluginLifecycle } from "../generated/plugin_supervisor/v1/plugin_lifecycle_pb.js"
import type { UnaryName } from "../rpc/RpcMethod.ts"

/** The hooks that every contract has: of its own, or of `plugin_supervisor.v1`. */
export type StandardHook = "onActivate" | "onConfigurationChange" | "onDeactivate" | "serveHTTP"

/** What streams HTTP to plugins: `plugin_supervisor.v1.PluginHttp.ServeHTTP`, or a rpc of a contract's own of the same shape. */
export type ServeHttpMethod = typeof PluginHttp.method.serveHTTP

/** The rpcs of a service that stream both ways. */
type BidiName<S extends DescService> = {
  readonly [K in keyof S["method"]]: S["method"][K] extends { methodKind: "bidi_streaming" } ? K : never
}[keyof S["method"]] &
  string

/** A contract's own rpcs for what every contract has, by their camelCase names. */
export type OwnLifecycle<H extends DescService> = {
  readonly implemented?: UnaryName<H> | undefined
} & { readonly [K in Exclude<StandardHook, "serveHTTP">]?: UnaryName<H> | undefined } & {
  readonly serveHTTP?: BidiName<H> | undefined
}

/** The rpcs that plugins are asked by for what every contract has. */
export interface Lifecycle {
  readonly implemented: DescMethodUnary
  readonly onActivate: DescMethodUnary
  readonly onConfigurationChange: DescMethodUnary
  readonly onDeactivate: DescMethodUnary
  readonly serveHTTP: ServeHttpMethod
}

/** The rpcs that a contract has without asking. */
export const STANDARD_LIFECYCLE: Lifecycle = { ...PluginLifecycle.method, serveHTTP: PluginHttp.method.serveHTTP }

/** The standard rpcs, and in place of them a contract's own. */
export const lifecycleOf = (
  hooks: DescService,
  own: { readonly [step: string]: string | undefined } = {},
): Lifecycle => {
  const named = Object.entries(own).flatMap(([step, name]): ReadonlyArray<[string, DescMethod]> => {
    const method = name === undefined ? undefined : hooks.method[name]
    return method === undefined ? [] : [[step, method]]
  })
  return { ...STANDARD_LIFECYCLE, ...Object.fromEntries(named) }
}
