import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type MessageShape,
  ScalarType,
  toJson,
} from "@bufbuild/protobuf"
import { type CommandResponse, CommandResponseSchema } from "../generated/mattermost/pluginapi/v1/api_command_pb.js"
import { type Channel, ChannelSchema } from "../generated/mattermost/pluginapi/v1/channel_pb.js"
import { type Post, type PostList, PostSchema } from "../generated/mattermost/pluginapi/v1/post_pb.js"
import { type User, UserSchema } from "../generated/mattermost/pluginapi/v1/user_pb.js"

/**
 * The contract's messages in the JSON of Mattermost's REST API: names in snake_case, fields without a value present
 * (except optional ones), 64-bit integers as numbers, types of channels as their letters. Protobuf's own JSON mapping
 * writes those integers as strings; all of the contract's are times in milliseconds and counts, which numbers can hold.
 */

const INTEGERS_64 = new Set<ScalarType | undefined>([
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
])

const restJson = <D extends DescMessage>(desc: D, message: MessageShape<D>): JsonObject =>
  restMessage(desc, toJson(desc, message, { alwaysEmitImplicit: true, useProtoFieldName: true }) as JsonObject)

const restMessage = (desc: DescMessage, json: JsonObject): JsonObject =>
  Object.fromEntries(
    desc.fields.flatMap((field) => {
      const value = json[field.name]
      return value === undefined ? [] : [[field.name, restField(field, value)]]
    }),
  )

const restField = (field: DescField, json: JsonValue): JsonValue => {
  switch (field.fieldKind) {
    case "list":
      return (json as Array<JsonValue>).map((item) => restValue(field, item))
    case "map":
      return Object.fromEntries(Object.entries(json as JsonObject).map(([key, item]) => [key, restValue(field, item)]))
    default:
      return restValue(field, json)
  }
}

const restValue = (field: DescField, json: JsonValue): JsonValue => {
  if (field.message !== undefined) {
    // `Struct` is JSON already.
    return field.message.typeName.startsWith("google.protobuf.") ? json : restMessage(field.message, json as JsonObject)
  }
  if (field.enum !== undefined) return enumLetter(field.enum, json)
  return INTEGERS_64.has(field.scalar) ? Number(json) : json
}

/** `CHANNEL_TYPE_OPEN` is `O`; what is not specified is empty. */
const enumLetter = (desc: DescEnum, name: JsonValue): string => {
  const value = desc.values.find((value) => value.name === name)
  return value === undefined || value.number === 0 ? "" : value.localName.charAt(0)
}

/** A post; it has properties and metadata always. */
export const postJson = (post: Post): JsonObject => ({ props: {}, metadata: {}, ...restJson(PostSchema, post) })

/** A list of posts, with their ids in order. */
export const postListJson = (list: PostList): JsonObject => ({
  order: list.order,
  posts: Object.fromEntries(Object.entries(list.posts).map(([id, post]) => [id, postJson(post)])),
  next_post_id: list.nextPostId,
  prev_post_id: list.prevPostId,
  has_next: list.hasNext,
})

/** What a slash command answered. */
export const commandResponseJson = (response: CommandResponse): JsonObject => restJson(CommandResponseSchema, response)

/** A channel. */
export const channelJson = (channel: Channel): JsonObject => restJson(ChannelSchema, channel)

/** A user, without what belongs to a login. */
export const userJson = (user: User): JsonObject => {
  const { auth_data: _authData, mfa_secret: _mfaSecret, password: _password, ...json } = restJson(UserSchema, user)
  return json
}
