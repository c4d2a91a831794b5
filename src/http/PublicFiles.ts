import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpPlatform from "@effect/platform-node/NodeHttpPlatform"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, FileSystem, Layer, Option, Path, Stream } from "effect"
import { type HttpServerError, HttpServerRequest, type HttpServerResponse, HttpStaticServer, Mime } from "effect/http"
import type { Readable } from "node:stream"
import { PathSanitizer } from "../bundle/PathSanitizer.ts"
import { type PluginTarget, unescape } from "../hooks/RequestTarget.ts"
import type { PluginHttpResponse } from "../hooks/ServeHttp.ts"

/** The folder of a bundle whose files are served to everybody, as in Mattermost. */
const PUBLIC = "public"

/**
 * A client asks again whether a file has changed, each time: the next version of a plugin has the same names. The answer is
 * short as long as it has not.
 */
const CACHE_CONTROL = "no-cache"

/** What nobody knows more of. */
const ANY_TYPE = "application/octet-stream"

/** What Node does for this, and no more of it. */
const platform = Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, NodeHttpPlatform.layer)

/** What a file's answer is: its head, and the bytes that were asked for. */
export type FileResponse = PluginHttpResponse<Error>

/**
 * The path below `public/` that a target is for, as the client wrote it; undefined where it is for the plugin. However
 * `/public/` itself is written, what is below it never reaches the plugin.
 */
export const publicPath = ({ below }: PluginTarget): string | undefined =>
  unescape(below).startsWith(`/${PUBLIC}/`) ? below.replace(/^\/.*?(?:\/|%2f)/i, "") : undefined

/**
 * The names from `public/` down that a path means; undefined where it can mean no file. Names that begin with a dot are left
 * out (`.`, `..`, `.git`, `.env`): they are there for programs, and often by mistake.
 */
const namesOf = (path: string): ReadonlyArray<string> | undefined => {
  const names: Array<string> = []
  for (const segment of path.split("/")) {
    const name = decoded(segment)
    if (name === undefined || name === "" || name.startsWith(".") || name.includes("/")) return undefined
    names.push(name)
  }
  return names
}

const decoded = (segment: string): string | undefined => {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

/**
 * Serves the files of bundles' `public/` folders. A path is followed as one of a manifest's is (`PathSanitizer`): no link
 * leads out of the folder, nor does the folder itself lead out of its bundle. Types, conditions (`ETag`, `Last-Modified`)
 * and ranges are Effect's `HttpStaticServer`'s. No folder is listed, and none has an index.
 */
export const make: Effect.Effect<
  (
    bundle: string,
    path: string,
  ) => Effect.Effect<Option.Option<FileResponse>, HttpServerError.HttpServerError, HttpServerRequest.HttpServerRequest>
> = Effect.gen(function* () {
  const services = yield* Effect.context<Layer.Success<typeof platform>>()
  const sanitizer = yield* PathSanitizer
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  return Effect.fn("PublicFiles.find")(function* (bundle: string, path: string) {
    const names = namesOf(path)
    if (names === undefined) return Option.none()
    const found = yield* sanitizer.resolve(bundle, PUBLIC).pipe(
      Effect.flatMap((root) => Effect.map(sanitizer.resolve(root, names.join("/")), (file) => ({ root, file }))),
      // Before its head is sent: what can't be read is as good as missing.
      Effect.tap(({ file }) => files.access(file, { readable: true })),
      Effect.option,
    )
    if (Option.isNone(found)) return Option.none()
    const { file, root } = found.value
    const url = paths.relative(root, file).split(paths.sep).map(encodeURIComponent).join("/")
    const serve = yield* Effect.orDie(HttpStaticServer.make({ root, index: undefined, cacheControl: CACHE_CONTROL }))
    const request = yield* HttpServerRequest.HttpServerRequest
    return yield* serve.pipe(
      Effect.provideService(HttpServerRequest.HttpServerRequest, request.modify({ url: `/${url}` })),
      Effect.map((response) => Option.some(fileResponse(request.method, response, file))),
      // It has gone meanwhile, or is none: a folder, a pipe.
      Effect.catchIf(
        ({ reason }) => reason._tag === "RouteNotFound",
        () => Effect.succeedNone,
      ),
    )
  }, Effect.provideContext(services))
}).pipe(Effect.provide(Layer.provideMerge(PathSanitizer.layer, platform)))

/** An answer in the form in which plugins' answers are written to clients. */
const fileResponse = (
  method: string,
  { body, headers, status }: HttpServerResponse.HttpServerResponse,
  file: string,
): FileResponse => ({
  status,
  headers: Object.entries(headers).map(([name, value]) => [
    name,
    // Effect's static server knows fewer types than Effect does, and those of texts with their encoding.
    [name === "content-type" && value === ANY_TYPE ? Option.getOrElse(Mime.getType(file), () => value) : value],
  ]),
  body:
    // Nobody reads a file whose head alone was asked for.
    body._tag === "Raw" && method !== "HEAD"
      ? NodeStream.fromReadable<Uint8Array, Error>({
          evaluate: () => body.body as Readable,
          onError: (error) => error as Error,
        })
      : Stream.empty,
})
