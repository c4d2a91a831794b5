import { Effect, Layer, Option, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import type { JsonObject, JsonValue } from "@bufbuild/protobuf"
import type { RequestContext } from "../mattermost/MattermostPlugins.ts"
import { FROM_PLUGIN } from "../workspace/PostRules.ts"
import { TEAM_NAME, Workspace } from "../workspace/Workspace.ts"
import { invalid, notFound } from "../workspace/WorkspaceError.ts"
import type { AccessToken } from "./AccessToken.ts"
import { RequestId, type RestError } from "./AppErrorResponse.ts"
import { HttpAuthorization } from "./HttpAuthorization.ts"
import { jsonBody } from "./JsonBody.ts"
import { channelJson, commandResponseJson, postJson, postListJson, userJson } from "./MessageJson.ts"

/** The most things a page may have (Mattermost). */
const MAX_PER_PAGE = 200

/** Clients may write `null` for what they leave out. */
const maybe = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** An object of the body, which is JSON. That a post is a plugin's is not for clients to say. */
const Props = Schema.declare(
  (value): value is JsonObject => typeof value === "object" && value !== null && !Array.isArray(value),
  { expected: "an object" },
)

const withoutMark = ({ [FROM_PLUGIN]: _claimed, ...props }: JsonObject): JsonObject => props
const FileIds = Schema.mutable(Schema.Array(Schema.String))

const PostBody = Schema.Struct({
  channel_id: Schema.String,
  message: maybe(Schema.String),
  root_id: maybe(Schema.String),
  props: maybe(Props),
  file_ids: maybe(FileIds),
  pending_post_id: maybe(Schema.String),
})

const PostUpdateBody = Schema.Struct({
  id: maybe(Schema.String),
  message: Schema.String,
  props: maybe(Props),
  file_ids: maybe(FileIds),
  is_pinned: maybe(Schema.Boolean),
})

const CommandBody = Schema.Struct({
  channel_id: Schema.String,
  command: Schema.String,
  root_id: maybe(Schema.String),
})

/** The last page there can be: beyond, pages and their sizes are no integers any more. */
const MAX_PAGE = 2 ** 31 - 1

const natural = (most: number) =>
  Schema.NumberFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 0, maximum: most }))
const PageQuery = Schema.Struct({
  page: Schema.optionalKey(natural(MAX_PAGE)),
  per_page: Schema.optionalKey(natural(MAX_PAGE)),
})
const PostsQuery = Schema.Struct({
  ...PageQuery.fields,
  since: Schema.optionalKey(natural(Number.MAX_SAFE_INTEGER)),
  before: Schema.optionalKey(Schema.String),
  after: Schema.optionalKey(Schema.String),
})

const pageOf = (query: typeof PageQuery.Type) => ({
  page: query.page ?? 0,
  perPage: Math.min(query.per_page ?? 0, MAX_PER_PAGE),
})

const param = (name: string) => Effect.map(HttpRouter.params, (params) => params[name] ?? "")

/** The request as hooks are told of it. */
const changeContext: Effect.Effect<RequestContext, never, RequestId | HttpServerRequest.HttpServerRequest> = Effect.gen(
  function* () {
    const { headers, remoteAddress } = yield* HttpServerRequest.HttpServerRequest
    return {
      requestId: yield* RequestId,
      ipAddress: Option.getOrElse(remoteAddress, () => ""),
      acceptLanguage: headers["accept-language"] ?? "",
      userAgent: headers["user-agent"] ?? "",
    }
  },
)

const make = Effect.gen(function* () {
  const workspace = yield* Workspace
  const { channels, posts, teams, users } = workspace

  const channelByName = Effect.fnUntraced(function* (teamName: string, name: string) {
    const team = yield* teams.getByName(teamName)
    return channelJson(yield* channels.getByName(team.id, name))
  })

  const createPost = Effect.gen(function* () {
    const body = yield* jsonBody(PostBody)
    const me = yield* workspace.me
    const post = yield* workspace.createPost(
      {
        userId: me.id,
        channelId: body.channel_id,
        message: body.message ?? "",
        rootId: body.root_id ?? "",
        props: withoutMark(body.props ?? {}),
        fileIds: body.file_ids ?? [],
        pendingPostId: body.pending_post_id ?? "",
      },
      yield* changeContext,
    )
    return postJson(post)
  })

  const updatePost = Effect.gen(function* () {
    const id = yield* param("id")
    const body = yield* jsonBody(PostUpdateBody)
    if ((body.id ?? id) !== id) {
      yield* invalid("api.context.invalid_body_param.app_error", "The post in the body is not the one in the path")
    }
    const post = yield* workspace.updatePost(
      {
        id,
        message: body.message,
        ...(body.props != null && { props: body.props }),
        ...(body.file_ids != null && { fileIds: body.file_ids }),
        ...(body.is_pinned != null && { isPinned: body.is_pinned }),
      },
      yield* changeContext,
    )
    return postJson(post)
  })

  const executeCommand = Effect.gen(function* () {
    const body = yield* jsonBody(CommandBody)
    const me = yield* workspace.me
    const response = yield* workspace.executeCommand(
      { userId: me.id, channelId: body.channel_id, command: body.command, rootId: body.root_id ?? "" },
      yield* changeContext,
    )
    return commandResponseJson(response)
  })

  const deletePost = Effect.gen(function* () {
    yield* workspace.deletePost(yield* param("id"), yield* changeContext)
    return { status: "OK" }
  })

  const channelPosts = Effect.gen(function* () {
    const { id } = yield* Effect.flatMap(param("id"), channels.get)
    const query = yield* HttpServerRequest.schemaSearchParams(PostsQuery)
    const page = pageOf(query)
    if (query.since !== undefined) return postListJson(yield* posts.since(id, query.since))
    if (query.after !== undefined) return postListJson(yield* posts.after(id, query.after, page))
    if (query.before !== undefined) return postListJson(yield* posts.before(id, query.before, page))
    return postListJson(yield* posts.forChannel(id, page))
  })

  const listChannels = Effect.gen(function* () {
    const query = yield* HttpServerRequest.schemaSearchParams(PageQuery)
    return (yield* channels.list(pageOf(query))).map(channelJson)
  })

  const unknownRoute = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ method, url }) =>
    Effect.fail(notFound("api.context.404.app_error", `route ${method} ${url.split("?")[0]}`)),
  )

  return [
    route("POST", "/posts", createPost, 201),
    route("GET", "/posts/:id", Effect.map(Effect.flatMap(param("id"), posts.get), postJson)),
    route("PUT", "/posts/:id", updatePost),
    route("DELETE", "/posts/:id", deletePost),
    route("POST", "/commands/execute", executeCommand),
    route("GET", "/channels", listChannels),
    route("GET", "/channels/:id", Effect.map(Effect.flatMap(param("id"), channels.get), channelJson)),
    route("GET", "/channels/:id/posts", channelPosts),
    route(
      "GET",
      "/channels/name/:channel",
      Effect.flatMap(param("channel"), (name) => channelByName(TEAM_NAME, name)),
    ),
    route(
      "GET",
      "/teams/name/:team/channels/name/:channel",
      Effect.flatMap(Effect.all([param("team"), param("channel")]), ([team, channel]) => channelByName(team, channel)),
    ),
    route("GET", "/users/me", Effect.map(workspace.me, userJson)),
    route("GET", "/users/:id", Effect.map(Effect.flatMap(param("id"), users.get), userJson)),
    route("*", "/*", unknownRoute),
  ]
})

const route = <R>(
  method: "GET" | "POST" | "PUT" | "DELETE" | "*",
  path: `/${string}`,
  handler: Effect.Effect<JsonValue, RestError, R>,
  status = 200,
) =>
  HttpRouter.route(
    method,
    `/api/v4${path}`,
    Effect.map(handler, (json) => HttpServerResponse.jsonUnsafe(json, { status })),
  )

/**
 * The workspace over HTTP: the part of Mattermost's REST API v4 that the workspace has, for bearers of the access
 * token. What it does not have answers 404 in the same form, for every path below `/api/v4`.
 */
export const WorkspaceRoutes: Layer.Layer<never, never, HttpRouter.HttpRouter | Workspace | AccessToken> =
  HttpRouter.addAll(make).pipe(Layer.provide(HttpAuthorization.layer))
