import { Schema, SchemaGetter } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiMiddleware, HttpApiSchema, OpenApi } from "effect/http-api"
import { Multipart } from "effect/http"
import { PluginApiError } from "../api/PluginApi.ts"
import { PluginStateName } from "../supervisor/PluginLife.ts"

/** The most lines of a plugin's log that are answered at once: as many as are kept. */
const MAX_LINES = 1000

/** Answers whatever a handler of the API fails with, the API's own checks among them. */
export class AdminFailures extends HttpApiMiddleware.Service<AdminFailures>()(
  "effect-plugin-supervisor/http/AdminFailures",
) {}

const ErrorBody = Schema.Struct({
  id: Schema.String.annotate({ description: "A stable name, for programs" }),
  message: Schema.String.annotate({ description: "What happened, for people" }),
  detailed_error: Schema.String,
  request_id: Schema.String.annotate({ description: "Finds the host's log lines of the request" }),
  status_code: Schema.Int,
}).annotate({ identifier: "AppError" })

const AppError = ErrorBody.pipe(
  Schema.decodeTo(Schema.toType(PluginApiError), {
    decode: SchemaGetter.transform(
      ({ detailed_error: detailedError, id, message, status_code: statusCode }) =>
        new PluginApiError({ id, message, statusCode, detailedError }),
    ),
    // What is sent is made by `errorResponse`, which knows the request.
    encode: SchemaGetter.transform(({ detailedError = "", id, message, statusCode }) => ({
      id,
      message,
      detailed_error: detailedError,
      request_id: "",
      status_code: statusCode,
    })),
  }),
)

const errors = (...statuses: ReadonlyArray<number>) =>
  [401, 500, ...statuses].map((status) => AppError.pipe(HttpApiSchema.status(status)))

const Optional = Schema.optionalKey(Schema.String)

/** `plugin.json`; what is not listed here is in it too. */
export const ManifestBody = Schema.StructWithRest(
  Schema.Struct({ id: Schema.String, name: Optional, description: Optional, version: Optional }),
  [Schema.Record(Schema.String, Schema.Json)],
).annotate({ identifier: "Manifest" })

const Done = Schema.Struct({ status: Schema.Literal("OK") })
/** The answer to what was carried out. */
export const DONE: typeof Done.Type = { status: "OK" }

const Millis = Schema.Number.annotate({ description: "Milliseconds since 1970" })

const FailureBody = Schema.Struct({
  at: Millis,
  reason: Schema.String,
  exit: Optional,
  stderr: Schema.Array(Schema.String).annotate({ description: "The last lines of its stderr" }),
})

/** A plugin's status as Mattermost has it, and beyond it what the host knows of the plugin's life. */
export const StatusBody = Schema.Struct({
  plugin_id: Schema.String,
  cluster_id: Schema.String.annotate({ description: "Always empty: there is one host" }),
  name: Schema.String,
  description: Schema.String,
  version: Schema.String,
  plugin_path: Schema.String.annotate({ description: "The folder that it runs from" }),
  state: Schema.Int.annotate({
    description:
      "0 not running, 1 starting or about to be started again, 2 running, 3 failed to start, 4 failed to stay running, 5 stopping",
  }),
  state_name: PluginStateName,
  state_since: Millis,
  is_enabled: Schema.Boolean,
  source: Schema.Literals(["folder", "installed"]),
  error: Schema.String,
  settings_error: Schema.String.annotate({
    description: "What it had against its settings when it was told of them last; it goes on with those before",
  }),
  restarts: Schema.Int.annotate({ description: "Since an operator has started it" }),
  next_try: Millis.annotate({ description: "When it is started again; 0 where nobody will" }),
  provisioning: Schema.NullOr(
    Schema.Struct({ step: Schema.Literals(["waiting", "creating", "installing", "checking"]), line: Schema.String }),
  ).annotate({ description: "How far its Python environment is, which is made before it starts" }),
  last_failure: Schema.NullOr(FailureBody),
  hooks: Schema.Array(Schema.String).annotate({ description: "Those that it has said it implements, where it runs" }),
  hooks_told: Schema.NullOr(Schema.Boolean).annotate({
    description: "Whether it has said that; null where it does not run",
  }),
}).annotate({ identifier: "PluginStatus" })

const Count = Schema.Union([Schema.Number, Schema.Null])

/** How a plugin is now. */
export const HealthBody = Schema.Struct({
  ...StatusBody.fields,
  pid: Schema.NullOr(Schema.Int),
  ping: Schema.NullOr(
    Schema.Struct({ answered: Schema.Boolean, millis: Schema.Number, error: Schema.String }),
  ).annotate({ description: "Whether it answers now, and how soon; null where it does not run" }),
  in_flight: Schema.Int.annotate({ description: "Calls of its hooks and HTTP requests that it is at work on" }),
  metrics: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      attributes: Schema.Record(Schema.String, Schema.String),
      value: Count.annotate({ description: "Of counters and gauges" }),
      count: Count.annotate({ description: "Of histograms, with min, max and sum" }),
      sum: Count,
      min: Count,
      max: Count,
    }),
  ),
}).annotate({ identifier: "PluginHealth" })

/** A line of a plugin's log. */
export const LogLineBody = Schema.Struct({
  at: Millis,
  level: Schema.String,
  message: Schema.String,
  fields: Schema.Record(Schema.String, Schema.Json),
}).annotate({ identifier: "LogLine" })

/** A plugin's settings. */
export const SettingsBody = Schema.Record(Schema.String, Schema.MutableJson).annotate({
  description:
    "By name, in any case. Secrets are shown as stars, which leave them as they are when they are saved; null is a setting that is not set",
})

/** Digits alone: no text, as in `count=`, would be the number 0. */
const LineCount = Schema.String.check(Schema.isPattern(/^\d+$/, { message: "expected a whole number" })).pipe(
  Schema.decodeTo(Schema.FiniteFromString.check(Schema.isBetween({ minimum: 0, maximum: MAX_LINES }))),
)

/** What begins with a slash. */
type Path = `/${string}`

const params = { id: Schema.String }

const describe = (summary: string, description?: string) =>
  OpenApi.annotations({ summary, ...(description !== undefined && { description }) })

/** A command on one plugin. */
const command = <const Name extends string>(plugins: Path, name: Name, summary: string) =>
  HttpApiEndpoint.post(name, `${plugins}/:id/${name}`, {
    params,
    success: Done,
    error: errors(404, 409, 503),
  }).annotateMerge(describe(summary))

/** What installs answer with. */
const INSTALL_ERRORS = errors(400, 409, 413, 501, 503, 507)

/** The endpoints for plugins, which are at `plugins`. */
const adminPlugins = (plugins: Path) =>
  HttpApiGroup.make("plugins")
    .add(
      HttpApiEndpoint.get("list", plugins, {
        success: Schema.Struct({ active: Schema.Array(ManifestBody), inactive: Schema.Array(ManifestBody) }),
        error: errors(),
      }).annotateMerge(describe("All plugins, by whether they run")),
      HttpApiEndpoint.get("statuses", `${plugins}/statuses`, {
        success: Schema.Array(StatusBody),
        error: errors(),
      }).annotateMerge(describe("The states of all plugins")),
      HttpApiEndpoint.get("webapp", `${plugins}/webapp`, {
        success: Schema.Array(ManifestBody),
        error: errors(),
      }).annotateMerge(describe("What clients need to know of running plugins that have a webapp")),
      HttpApiEndpoint.post("upload", plugins, {
        payload: Schema.Struct({
          plugin: Schema.optionalKey(Multipart.FilesSchema),
          force: Schema.optionalKey(Schema.String),
        }).pipe(HttpApiSchema.asMultipart()),
        success: ManifestBody.pipe(HttpApiSchema.status(201)),
        error: [...INSTALL_ERRORS, ...errors(415)],
      }).annotateMerge(
        describe(
          "Install a .tar.gz",
          "`force`, if it is exactly `true`, replaces an installed version, a newer one too",
        ),
      ),
      HttpApiEndpoint.post("installFromUrl", `${plugins}/install_from_url`, {
        query: { plugin_download_url: Schema.String, force: Schema.optionalKey(Schema.String) },
        success: ManifestBody.pipe(HttpApiSchema.status(201)),
        error: INSTALL_ERRORS,
      }).annotateMerge(describe("Install a .tar.gz that the host downloads")),
      HttpApiEndpoint.delete("remove", `${plugins}/:id`, {
        params,
        success: Done,
        error: errors(404, 409, 501, 503),
      }).annotateMerge(describe("Stop and remove an installed plugin", "Its keys, values and settings stay")),
      command(plugins, "enable", "Enable a plugin, and start it"),
      command(plugins, "disable", "Disable a plugin, and stop it"),
      command(plugins, "restart", "Stop a plugin and start it"),
      command(plugins, "reload", "Start another run in the place of the one there is, without a drop"),
      HttpApiEndpoint.get("config", `${plugins}/:id/config`, {
        params,
        success: SettingsBody,
        error: errors(404, 501, 503),
      }).annotateMerge(describe("A plugin's settings, over its manifest's defaults")),
      HttpApiEndpoint.put("configure", `${plugins}/:id/config`, {
        params,
        payload: SettingsBody,
        success: SettingsBody,
        error: errors(400, 404, 413, 501, 503),
      }).annotateMerge(describe("Replace a plugin's settings", "Answers them as `GET` does")),
      HttpApiEndpoint.patch("change", `${plugins}/:id/config`, {
        params,
        payload: SettingsBody,
        success: SettingsBody,
        error: errors(400, 404, 413, 501, 503),
      }).annotateMerge(
        describe(
          "Change single settings of a plugin",
          "The others stay; `null` unsets one. Answers them as `GET` does",
        ),
      ),
      HttpApiEndpoint.get("logs", `${plugins}/:id/logs`, {
        params,
        query: { count: Schema.optionalKey(LineCount) },
        success: Schema.Array(LogLineBody),
        error: errors(400, 404, 501),
      }).annotateMerge(describe("The last lines of a plugin's log, oldest first", "100 unless `count` says otherwise")),
      HttpApiEndpoint.get("follow", `${plugins}/:id/logs/follow`, {
        params,
        query: { count: Schema.optionalKey(LineCount) },
        success: HttpApiSchema.StreamSse({ data: LogLineBody }),
        error: errors(400, 404, 501),
      }).annotateMerge(
        describe("A plugin's log as server-sent events", "After the last `count` lines, of which 0 by default"),
      ),
      HttpApiEndpoint.get("health", `${plugins}/:id/health`, {
        params,
        success: HealthBody,
        error: errors(404),
      }).annotateMerge(describe("How a plugin is now: its state, whether it answers, its metrics")),
    )
    .middleware(AdminFailures)

/** The REST API by which operators look after plugins: Mattermost's endpoints for them, and more, below `path`. */
export const adminApi = (path: Path) =>
  HttpApi.make("admin")
    .add(adminPlugins(`${path}/plugins`))
    .annotateMerge(
      OpenApi.annotations({
        title: "Plugins",
        version: "4",
        description: "What an operator does with a host's plugins; Mattermost's own endpoints for that, and more.",
        transform: (document) => ({
          ...document,
          components: {
            ...document["components"],
            securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
          },
          security: [{ bearer: [] }],
        }),
      }),
    )
