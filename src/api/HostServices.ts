import type { DescMethodUnary } from "@bufbuild/protobuf"
import { Duration, Effect, Option } from "effect"
import { withDefaults } from "../bundle/PluginSettingsSchema.ts"
import { ServerVersion } from "../command/ServerVersion.ts"
import type { AnyContract } from "../contract/Contract.ts"
import {
  HostIdentity,
  HostKeyValues,
  HostLog,
  HostSettings,
  LogLevel,
} from "../generated/plugin_supervisor/v1/host_services_pb.js"
import type { Request, ResponseInit } from "../rpc/RpcMethod.ts"
import { KeyValues, type SetValueOptions } from "../storage/KeyValues.ts"
import { PluginSettings } from "../storage/PluginSettings.ts"
import { type AnyApiMethods, notImplemented, PluginApiError, type PluginCaller } from "./PluginApi.ts"
import { logPluginLine } from "./PluginLogLine.ts"
import type { OtherService } from "./PluginApiServer.ts"

/** Keys that a list has at most. */
const MAX_KEYS = 1000

/** Keys that a list has when its caller names no number. */
const KEYS = 100

/** Levels by number. */
const LOG: { readonly [level: number]: (message: string) => Effect.Effect<void> } = {
  [LogLevel.DEBUG]: Effect.logDebug,
  [LogLevel.WARNING]: Effect.logWarning,
  [LogLevel.ERROR]: Effect.logError,
}

/** Handlers of a service, typed from it. */
type MethodsOf<S extends { readonly method: { readonly [name: string]: DescMethodUnary } }> = {
  readonly [K in keyof S["method"]]: (
    request: Request<S["method"][K]>,
    caller: PluginCaller,
  ) => Effect.Effect<ResponseInit<S["method"][K]>, PluginApiError>
}

/** A failure of the store's, as plugins are told of it. */
const told = <A>(
  self: Effect.Effect<A, { readonly _tag: string; readonly message: string }>,
): Effect.Effect<A, PluginApiError> =>
  Effect.catch(self, ({ _tag, message }) => {
    switch (_tag) {
      case "BadKeyError":
        return Effect.fail(new PluginApiError({ id: "host.key", message, statusCode: 400 }))
      case "ValueTooLargeError":
        return Effect.fail(new PluginApiError({ id: "host.value_too_large", message, statusCode: 413 }))
      default:
        return Effect.andThen(
          Effect.logError(message),
          Effect.fail(
            new PluginApiError({
              id: "host.storage",
              message: "The host's store failed; see its log",
              statusCode: 503,
            }),
          ),
        )
    }
  })

const keyValues = (values: KeyValues["Service"]): MethodsOf<typeof HostKeyValues> => ({
  getValue: ({ key }, { pluginId }) =>
    told(Effect.map(values.get(pluginId, key), (found) => ({ value: Option.getOrUndefined(found) }))),
  setValue: ({ condition, expiresInMillis, key, value }, { pluginId }) => {
    if (condition.case === "ifAbsent" && !condition.value) {
      const message = "if_absent is true, or not set"
      return Effect.fail(new PluginApiError({ id: "host.condition", message, statusCode: 400 }))
    }
    const options: SetValueOptions = {
      condition:
        condition.case === "ifEqual"
          ? { equals: condition.value }
          : condition.case === "ifAbsent"
            ? "absent"
            : undefined,
      expiresIn: expiresInMillis === undefined ? undefined : Duration.millis(Number(expiresInMillis)),
    }
    return told(Effect.map(values.set(pluginId, key, value, options), (isSet) => ({ isSet })))
  },
  deleteValue: ({ ifEqual, key }, { pluginId }) =>
    told(Effect.map(values.delete(pluginId, key, { equals: ifEqual }), (isDeleted) => ({ isDeleted }))),
  deleteAllValues: (_, { pluginId }) => told(Effect.as(values.deleteAll(pluginId), {})),
  listKeys: ({ after, limit, prefix }, { pluginId }) => {
    const bounded = Math.min(limit > 0 ? limit : KEYS, MAX_KEYS)
    const listed = values.list(pluginId, {
      limit: bounded,
      prefix: prefix === "" ? undefined : prefix,
      after: after === "" ? undefined : after,
    })
    return told(Effect.map(listed, (keys) => ({ keys: [...keys] })))
  },
})

const settings = (stored: PluginSettings["Service"]): MethodsOf<typeof HostSettings> => ({
  getSettings: (_, { manifest, pluginId }) =>
    told(Effect.map(stored.get(pluginId), (set) => ({ settings: withDefaults(set, manifest) }))),
})

const log: MethodsOf<typeof HostLog> = {
  log: ({ fields, level, message }, caller) =>
    Effect.as(logPluginLine(LOG[level] ?? Effect.logInfo, caller, message, Object.entries(fields)), {}),
}

const identity = (contract: AnyContract, version: string | undefined): MethodsOf<typeof HostIdentity> => ({
  describeHost: (_, { bundlePath, pluginId }) =>
    Effect.succeed({
      pluginId,
      bundlePath,
      hooksService: contract.hooks.typeName,
      apiService: contract.api.typeName,
      hostVersion: version ?? "",
    }),
})

/**
 * What every host offers beside its contract's API (`plugin_supervisor.v1`): its log, who it is, and, where the context has
 * `KeyValues` and `PluginSettings`, keys and values, and settings; without them those answer "not implemented". None for a
 * contract that has rpcs of its own for all of this.
 */
export const hostServices = (contract: AnyContract): Effect.Effect<ReadonlyArray<OtherService>> =>
  contract.hostServices
    ? Effect.gen(function* () {
        const values = yield* Effect.serviceOption(KeyValues)
        const stored = yield* Effect.serviceOption(PluginSettings)
        const missing = (service: typeof HostKeyValues | typeof HostSettings, what: string): AnyApiMethods =>
          Object.fromEntries(
            service.methods.map(({ localName, name }) => [
              localName,
              () => Effect.fail(notImplemented(name, `it has no ${what}; its backend has to provide PluginStorage`)),
            ]),
          )
        return [
          { service: HostIdentity, methods: identity(contract, yield* ServerVersion) },
          { service: HostLog, methods: log },
          {
            service: HostKeyValues,
            methods: Option.match(values, {
              onNone: () => missing(HostKeyValues, "keys and values"),
              onSome: keyValues,
            }),
          },
          {
            service: HostSettings,
            methods: Option.match(stored, { onNone: () => missing(HostSettings, "settings"), onSome: settings }),
          },
        ]
      })
    : Effect.succeed([])
