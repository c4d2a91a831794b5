import { PluginHooks } from "../generated/mattermost/pluginapi/v1/plugin_hooks_pb.js"
import type { UnaryName } from "../rpc/RpcMethod.ts"

/** The methods of the hooks service by camelCase name. */
export type HookMethods = (typeof PluginHooks)["method"]

/** A hook called with one message and answered with one, by its camelCase rpc name; `serveHTTP` streams and is apart. */
export type UnaryHook = Exclude<UnaryName<typeof PluginHooks>, "implemented">

/** Any hook, by its camelCase rpc name. */
export type Hook = UnaryHook | "serveHTTP"

/** The rpcs by camelCase name, each with its contract name (`OnActivate`) and message types. */
export const hookMethods: HookMethods = PluginHooks.method

/** A hook's name as the contract and plugins write it, for example `OnActivate`. */
export const hookName = (hook: Hook): string => hookMethods[hook].name

/** Every unary hook, in the contract's order. */
export const unaryHooks = PluginHooks.methods
  .filter((method) => method.methodKind === "unary" && method.name !== "Implemented")
  .map((method) => method.localName as UnaryHook)
