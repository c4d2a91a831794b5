import { Effect, Layer, SubscriptionRef } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { hookName } from "../contract/Contract.ts"
import type { AnyHost, Environment } from "../environment/PluginHost.ts"
import { STATE_NUMBER } from "../mattermost/PluginStateNumber.ts"
import type { SupervisedPlugin } from "../supervisor/PluginSupervisor.ts"
import type { AccessToken } from "./AccessToken.ts"
import { HttpAuthorization } from "./HttpAuthorization.ts"

/** A plugin's status as Mattermost's REST API has it, and beyond it the state's name and the implemented hooks. */
const status = Effect.fnUntraced(function* ({ bundle, run, state }: SupervisedPlugin) {
  const { description, id, name, version } = bundle.manifest
  const current = SubscriptionRef.getUnsafe(state)
  const plugin = yield* run
  return {
    plugin_id: id,
    name,
    description: description ?? "",
    version: version ?? "",
    plugin_path: bundle.directory,
    state: STATE_NUMBER[current.name],
    state_name: current.name,
    state_since: current.since,
    error: current.error ?? "",
    restarts: current.restarts,
    next_try: current.nextTry ?? 0,
    last_failure: current.lastFailure ?? null,
    hooks:
      plugin._tag === "Some"
        ? [...plugin.value.client.implemented].map((hook) => hookName(plugin.value.client.contract, hook))
        : [],
  }
})

/** `GET /api/v4/plugins/statuses`: every plugin of a host with its state and, where it failed, why. */
export const layer = <Self>(
  host: AnyHost<Self>,
): Layer.Layer<never, never, HttpRouter.HttpRouter | Environment<Self> | AccessToken> =>
  HttpRouter.use((router) =>
    Effect.gen(function* () {
      const { plugins } = yield* host.Environment
      yield* router.add(
        "GET",
        "/api/v4/plugins/statuses",
        Effect.map(Effect.flatMap(plugins, Effect.forEach(status)), (statuses) =>
          HttpServerResponse.jsonUnsafe(statuses),
        ),
      )
    }),
  ).pipe(Layer.provide(HttpAuthorization.layer))
