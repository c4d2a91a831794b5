import { Clock, Effect, Metric, Option, SubscriptionRef } from "effect"
import { hookName } from "../contract/Contract.ts"
import type { LostPlugin } from "../environment/FoundBundles.ts"
import type { ManagedPlugin } from "../environment/PluginEnvironment.ts"
import { STATE_NUMBER } from "../mattermost/PluginStateNumber.ts"
import type { Failure } from "../supervisor/PluginLife.ts"
import type { HealthBody, ManifestBody, StatusBody } from "./AdminApi.ts"

type ManifestJson = typeof ManifestBody.Type

/** A plugin's manifest. What is read of its file is JSON. */
export const manifestOf = ({ bundle }: Pick<ManagedPlugin["plugin"], "bundle">): ManifestJson =>
  bundle.manifest as unknown as ManifestJson

/** What clients need of a manifest: not what only the host, or an operator, has to know. */
export const clientManifestOf = (plugin: ManagedPlugin["plugin"]): ManifestJson => {
  const { description: _, server: __, settings_schema: ___, ...rest } = manifestOf(plugin)
  return rest
}

/** A plugin's status. */
export const statusOf = Effect.fnUntraced(function* ({
  building,
  isEnabled,
  plugin: { bundle, run, state },
  source,
}: ManagedPlugin): Effect.fn.Return<typeof StatusBody.Type> {
  const { description, id, name, version } = bundle.manifest
  const current = SubscriptionRef.getUnsafe(state)
  const active = yield* run
  return {
    plugin_id: id,
    cluster_id: "",
    name,
    description: description ?? "",
    version: version ?? "",
    plugin_path: bundle.directory,
    state: STATE_NUMBER[current.name],
    state_name: current.name,
    state_since: current.since,
    is_enabled: isEnabled,
    source,
    error: current.error ?? "",
    settings_error: Option.match(active, {
      onNone: () => "",
      onSome: ({ client }) => client.calls.settingsProblem() ?? "",
    }),
    restarts: current.restarts,
    next_try: current.nextTry ?? 0,
    provisioning: building === undefined ? null : { step: building.step, line: building.line },
    last_failure: failureOf(current.lastFailure),
    hooks: Option.match(active, {
      onNone: () => [],
      onSome: ({ client }) =>
        client.hasTold ? [...client.implemented].map((hook) => hookName(client.contract, hook)) : [],
    }),
    hooks_told: Option.match(active, { onNone: () => null, onSome: ({ client }) => client.hasTold }),
  }
})

/** The status of one that there is nothing of: it did not start, since it could not. */
export const lostStatus = ({ id, isEnabled, path, reason, version }: LostPlugin): typeof StatusBody.Type => ({
  plugin_id: id,
  cluster_id: "",
  name: id,
  description: "",
  version,
  plugin_path: path,
  state: STATE_NUMBER.FailedToStart,
  state_name: "FailedToStart",
  state_since: 0,
  is_enabled: isEnabled,
  source: "installed",
  error: reason,
  settings_error: "",
  restarts: 0,
  next_try: 0,
  provisioning: null,
  last_failure: null,
  hooks: [],
  hooks_told: null,
})

const failureOf = (failure: Failure | undefined) =>
  failure === undefined
    ? null
    : {
        at: failure.at,
        reason: failure.reason,
        stderr: failure.stderr,
        ...(failure.exit !== undefined && { exit: failure.exit }),
      }

/** How a plugin is now. It is pinged, which has a bound. */
export const healthOf = Effect.fnUntraced(function* (managed: ManagedPlugin): Effect.fn.Return<typeof HealthBody.Type> {
  const run = Option.getOrUndefined(yield* managed.plugin.run)
  return {
    ...(yield* statusOf(managed)),
    pid: run?.process.pid ?? null,
    ping: run === undefined ? null : yield* pinged(run.ping),
    in_flight: run?.client.inFlight.count() ?? 0,
    metrics: (yield* Metric.snapshot).flatMap((metric) => metricOf(metric, managed.plugin.bundle.manifest.id)),
  }
})

const pinged = Effect.fnUntraced(function* (ping: Effect.Effect<void, { readonly message: string }>) {
  const began = yield* Clock.currentTimeMillis
  const result = yield* Effect.result(ping)
  return {
    answered: result._tag === "Success",
    millis: (yield* Clock.currentTimeMillis) - began,
    error: result._tag === "Success" ? "" : result.failure.message,
  }
})

const NONE = { value: null, count: null, sum: null, min: null, max: null }

/** A metric, if it is of this plugin. */
const metricOf = (metric: Metric.Metric.Snapshot, id: string): (typeof HealthBody.Type)["metrics"] => {
  const { plugin, ...others } = { ...metric.attributes }
  if (plugin !== id) return []
  const its = { ...NONE, name: metric.id, attributes: others }
  switch (metric.type) {
    case "Counter":
      return [{ ...its, value: Number(metric.state.count) }]
    case "Gauge":
      return [{ ...its, value: Number(metric.state.value) }]
    case "Histogram": {
      const { count, max, min, sum } = metric.state
      return [{ ...its, count, sum, min, max }]
    }
    default:
      return []
  }
}
