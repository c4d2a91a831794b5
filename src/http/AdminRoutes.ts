import { type Duration, Effect, FileSystem, Layer, Option } from "effect"
import { HttpRouter, HttpServerError, HttpServerRequest, HttpServerResponse, Multipart } from "effect/http"
import { HttpApiBuilder, HttpApiSwagger, OpenApi } from "effect/http-api"
import { PluginApiError } from "../api/PluginApi.ts"
import { BundleLimits } from "../bundle/BundleLimits.ts"
import type { BundleSource } from "../bundle/BundleStore.ts"
import { MAX_ID_LENGTH } from "../bundle/Manifest.ts"
import { NotStoredError, UnknownPluginError } from "../environment/EnvironmentError.ts"
import type { ManagedPlugin, PluginEnvironment } from "../environment/PluginEnvironment.ts"
import type { AnyHost } from "../environment/PluginHost.ts"
import { PluginLogs } from "../environment/PluginLogs.ts"
import { invalid } from "../workspace/WorkspaceError.ts"
import { AdminFailures, adminApi, DONE, SettingsBody } from "./AdminApi.ts"
import { type AdminError, adminError } from "./AdminErrors.ts"
import { answered, MAX_JSON_BODY, RequestId } from "./AppErrorResponse.ts"
import { download, type DownloadOptions } from "./BundleDownload.ts"
import { HttpAuthorization } from "./HttpAuthorization.ts"
import { jsonBody } from "./JsonBody.ts"
import { HEARTBEAT, lineOf, logResponse } from "./LogStream.ts"
import { clientManifestOf, healthOf, lostStatus, manifestOf, statusOf } from "./PluginReport.ts"
import { errorResponse } from "./Refusal.ts"
import { claimPaths } from "./ServedPaths.ts"

/** Settings of the Admin REST API. */
export interface AdminRoutesOptions extends DownloadOptions {
  /**
   * Where the API is: its endpoints are below `plugins` there, and what describes it is beside that, at `openapi.json` and
   * `docs`. Default {@link API_PATH}. Each host of a server has a place of its own; a second one at the same place is a defect.
   */
  readonly path?: string | undefined
  /** Whether plugins are installed over HTTP, which is to run code. Default true. */
  readonly allowInstall?: boolean | undefined
  /**
   * Completes when the host begins to stop, before its server does: logs that are followed end then. By default they end when
   * the server has waited for them in vain.
   */
  readonly stopping?: Effect.Effect<void> | undefined
  /** How often a followed log that says nothing sends a sign of life. Default {@link HEARTBEAT}. */
  readonly heartbeat?: Duration.Input | undefined
}

/** For the router of these routes: by default it knows no path with an id of more than 100 characters. */
export const routerConfig = { maxParamLength: MAX_ID_LENGTH }

/** Where the API is unless `path` says otherwise. */
export const API_PATH = "/api/v4"

/** Where the API is described, for programs and for people; below its `path`. */
const OPENAPI = "/openapi.json"
const DOCUMENTATION = "/docs"

/** Bytes of an upload that are not the file: the other field, and what is between them. */
const ENVELOPE = 64 * 1024

/** Parts that an upload has; more are not looked at. */
const MAX_PARTS = 10

/** Lines of a log that are answered, where the client does not say. */
const LINES = 100

const orAdminError = Effect.mapError(adminError)

/** The body of a request to set settings. What else it fails with, is answered as well. */
const settingsIn = jsonBody(SettingsBody) as Effect.Effect<
  typeof SettingsBody.Type,
  PluginApiError,
  HttpServerRequest.HttpServerRequest
>

/** The words for true by which Mattermost's clients may force an install from a URL: those of Go's `ParseBool`. */
const isTrue = (text: string | undefined): boolean => /^(?:1|t|T|TRUE|true|True)$/.test(text ?? "")

const uploadsOff = new PluginApiError({
  id: "app.plugin.upload_disabled.app_error",
  message: "Plugins are not installed over HTTP on this host; its operator can allow it",
  statusCode: 501,
})

type AdminApi = ReturnType<typeof adminApi>

const handlers = <Self>(api: AdminApi, host: AnyHost<Self>, options: AdminRoutesOptions) =>
  HttpApiBuilder.group(
    api,
    "plugins",
    Effect.fnUntraced(function* (group) {
      const environment: PluginEnvironment = yield* host.Environment
      const logs = yield* Effect.serviceOption(PluginLogs)
      const { heartbeat = HEARTBEAT, stopping = Effect.never } = options
      const fileSystem = yield* FileSystem.FileSystem
      const find = Effect.fnUntraced(function* (id: string): Effect.fn.Return<ManagedPlugin, PluginApiError> {
        const isIt = (other: string) => other === id.toLowerCase()
        const found = (yield* environment.managed).find(({ plugin }) => isIt(plugin.bundle.manifest.id))
        if (found !== undefined) return found
        const gone = (yield* environment.lost).find((one) => isIt(one.id))
        return yield* adminError(
          new UnknownPluginError({ pluginId: id, ...(gone !== undefined && { lost: gone.reason }) }),
        )
      })
      const install = <E>(source: BundleSource<E>, force: boolean) =>
        environment.install(source, { force }).pipe(
          orAdminError,
          Effect.map((bundle) => manifestOf({ bundle })),
        )
      const done =
        (
          run: (id: string) => Effect.Effect<void, AdminError>,
        ): ((request: { readonly params: { readonly id: string } }) => Effect.Effect<typeof DONE, PluginApiError>) =>
        ({ params }) =>
          Effect.as(orAdminError(run(params.id)), DONE)
      /** The logs of a plugin that is there. */
      const logsOf = (id: string) =>
        Effect.andThen(
          find(id),
          Effect.mapError(Effect.fromOption(logs), () => adminError(new NotStoredError({ missing: "PluginLogs" }))),
        )
      const settingsOf = (id: string) => orAdminError(environment.settings(id))
      const setting = (set: PluginEnvironment["configure"]) =>
        Effect.fnUntraced(function* ({ params }: { readonly params: { readonly id: string } }) {
          yield* orAdminError(set(params.id, yield* settingsIn))
          return yield* settingsOf(params.id)
        })

      return group
        .handle("list", () =>
          Effect.gen(function* () {
            const plugins = yield* environment.plugins
            const running = new Set(yield* Effect.filter(plugins, ({ run }) => Effect.map(run, Option.isSome)))
            return {
              active: plugins.filter((plugin) => running.has(plugin)).map(manifestOf),
              inactive: [
                ...plugins.filter((plugin) => !running.has(plugin)).map(manifestOf),
                ...(yield* environment.lost).map(({ id, version }) => ({ id, name: id, version })),
              ],
            }
          }),
        )
        .handle("statuses", () =>
          Effect.gen(function* () {
            const managed = yield* Effect.forEach(yield* environment.managed, statusOf)
            return [...managed, ...(yield* environment.lost).map(lostStatus)]
          }),
        )
        .handle("webapp", () =>
          Effect.gen(function* () {
            const plugins = yield* Effect.filter(yield* environment.plugins, ({ bundle, run }) =>
              Effect.map(run, (active) => bundle.manifest.webapp !== undefined && Option.isSome(active)),
            )
            return plugins.map(clientManifestOf)
          }),
        )
        .handle("upload", ({ payload: { force, plugin = [] } }) =>
          Effect.gen(function* () {
            const [file, ...more] = plugin
            if (file === undefined) {
              return yield* invalid("api.plugin.upload.no_file.app_error", "The request has no file named plugin")
            }
            if (more.length > 0) {
              return yield* invalid("api.plugin.upload.array.app_error", "The request has several files named plugin")
            }
            // The file goes with the request; the install goes on when the client has gone.
            return yield* Effect.uninterruptible(install({ archive: fileSystem.stream(file.path) }, force === "true"))
          }),
        )
        .handle("installFromUrl", ({ query: { force, plugin_download_url: url } }) =>
          install({ archive: download(url, options) }, isTrue(force)),
        )
        .handle("remove", done(environment.remove))
        .handle("enable", done(environment.enable))
        .handle("disable", done(environment.disable))
        .handle("restart", done(environment.restart))
        .handle("reload", done(environment.reload))
        .handle("config", ({ params }) => settingsOf(params.id))
        .handleRaw("configure", setting(environment.configure))
        .handleRaw("change", setting(environment.change))
        .handle("logs", ({ params, query: { count = LINES } }) =>
          Effect.gen(function* () {
            const { tail } = yield* logsOf(params.id)
            return (yield* tail(params.id.toLowerCase(), count)).map(lineOf)
          }),
        )
        .handle("follow", ({ params, query: { count = 0 } }) =>
          Effect.gen(function* () {
            const { follow } = yield* logsOf(params.id)
            const lines = follow(params.id.toLowerCase(), count)
            const isRemoved = Effect.repeat(Effect.delay(environment.find(params.id), heartbeat), {
              until: Option.isNone,
            })
            return logResponse(lines, Effect.raceFirst(stopping, Effect.asVoid(isRemoved)), heartbeat)
          }),
        )
        .handle("health", ({ params }) => Effect.flatMap(find(params.id), healthOf))
    }),
  )

/** The endpoints that install plugins. */
const INSTALLING: ReadonlySet<string> = new Set(["upload", "installFromUrl"])

/** Answers failures, those of the API's own checks among them, and bounds what is read of a request. */
const failures = ({ allowInstall = true }: AdminRoutesOptions) =>
  Layer.effect(
    AdminFailures,
    Effect.map(BundleLimits, ({ archive }) => (handler, { endpoint }) => {
      const isUpload = endpoint.identifier === "upload"
      const limits = Multipart.limitsServices({
        maxParts: MAX_PARTS,
        maxFieldSize: ENVELOPE,
        maxFileSize: archive,
        maxTotalSize: isUpload ? archive + ENVELOPE : MAX_JSON_BODY,
        // Whatever type a client gives a file, it is one.
        fieldMimeTypes: [],
      })
      return handler.pipe(
        Effect.catchDefect((defect) =>
          Option.match(ofBody(defect, archive), { onNone: () => Effect.die(defect), onSome: Effect.fail }),
        ),
        Effect.flatMap(inJson),
        Effect.provideContext(limits),
        (handled) => (allowInstall || !INSTALLING.has(endpoint.identifier) ? handled : Effect.fail(uploadsOff)),
        answered,
      ) as never
    }),
  )

/** What a request's body can't be read for, which is no defect of the host's. */
const ofBody = (defect: unknown, maxBytes: number): Option.Option<PluginApiError | HttpServerError.HttpServerError> => {
  if (HttpServerError.isHttpServerError(defect)) return Option.some(defect)
  if (!Multipart.isMultipartError(defect)) return Option.none()
  switch (defect.reason._tag) {
    case "InternalError":
      return Option.none()
    case "Parse":
      return Option.some(
        invalid("api.context.invalid_body_param.app_error", "The request's body is no multipart/form-data"),
      )
    case "FieldTooLarge":
      return Option.some(tooLarge(`A field of the form has more than ${ENVELOPE} bytes; only the file may be large`))
    case "TooManyParts":
      return Option.some(tooLarge(`The form has more than ${MAX_PARTS} parts`))
    default:
      return Option.some(tooLarge(`The upload is larger than ${maxBytes} bytes`))
  }
}

const tooLarge = (message: string) =>
  new PluginApiError({ id: "api.plugin.upload.file_too_large.app_error", message, statusCode: 413 })

/** Errors that the API answers with a text, or with nothing, become failures. */
const inJson = (response: HttpServerResponse.HttpServerResponse) =>
  response.status < 400
    ? Effect.succeed(response)
    : Effect.fail(
        new PluginApiError({
          id: "api.context.unsupported_media_type.app_error",
          message: "The request's body has a type that is not taken here",
          statusCode: response.status,
        }),
      )

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const

/** Methods that a path does not have are told apart from paths that there are not. */
const otherMethods = (api: AdminApi) =>
  HttpRouter.addAll(
    [...Map.groupBy(Object.values(api.groups.plugins.endpoints), ({ path }) => path)].flatMap(([path, endpoints]) => {
      const methods = endpoints.map(({ method }) => method as string)
      const allow = methods.join(", ")
      return METHODS.filter((method) => !methods.includes(method)).map((method) =>
        HttpRouter.route(
          method,
          path,
          Effect.map(RequestId, (requestId) => {
            const message = `This path takes ${allow}, and not ${method}`
            return errorResponse({ id: "api.context.405.app_error", message, statusCode: 405 }, requestId, { allow })
          }),
        ),
      )
    }),
  )

/** What the documentation's page may load: nothing but itself, and the API of this host. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

const documentation = (api: AdminApi, path: `/${string}`) =>
  Layer.mergeAll(
    HttpRouter.add(
      "GET",
      `${path}${OPENAPI}`,
      Effect.sync(() => HttpServerResponse.jsonUnsafe(OpenApi.fromApi(api))),
    ),
    HttpApiSwagger.layer(api, { path: `${path}${DOCUMENTATION}` }).pipe(
      Layer.provide(
        HttpRouter.middleware(Effect.map(HttpServerResponse.setHeader("content-security-policy", PAGE_POLICY))).layer,
      ),
    ),
  )

/**
 * The REST API by which operators look after a host's plugins: Mattermost's endpoints below `/api/v4/plugins` (or another
 * `path`), and more, for bearers of the {@link AccessToken}. What describes the API, at `openapi.json` and `docs` beside them,
 * is for everybody. Logs are answered where there are `PluginLogs`; uploads are as large as `BundleLimits` lets archives be.
 */
export const layer = <Self>(host: AnyHost<Self>, options: AdminRoutesOptions = {}) => {
  const path = (options.path ?? API_PATH) as typeof API_PATH
  const api = adminApi(path)
  const claimed = HttpRouter.use((router) =>
    claimPaths(router, "AdminRoutes.layer", path, [`${path}/plugins`, `${path}${OPENAPI}`, `${path}${DOCUMENTATION}`]),
  )
  return Layer.mergeAll(
    Layer.mergeAll(
      HttpApiBuilder.layer(api).pipe(Layer.provide(handlers(api, host, options)), Layer.provide(failures(options))),
      otherMethods(api),
    ).pipe(Layer.provide(HttpAuthorization.layer)),
    documentation(api, path),
  ).pipe(Layer.provide(claimed))
}
