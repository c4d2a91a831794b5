import { Layer } from "effect"
import type { HttpRouter } from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import type { AccessToken } from "./AccessToken.ts"
import { HttpAuthorization } from "./HttpAuthorization.ts"

/** `GET /metrics`: all metrics, in the format that Prometheus reads. They tell what plugins there are, hence the token. */
export const MetricsRoutes: Layer.Layer<never, never, HttpRouter.HttpRouter | AccessToken> =
  PrometheusMetrics.layerHttp().pipe(Layer.provide(HttpAuthorization.layer))
