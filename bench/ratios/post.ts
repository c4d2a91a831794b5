/** The post that all hosts of the bench ask about; bench/reference/go/post.go has the same. */
import { create } from "@bufbuild/protobuf"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"

const TIME = 1_700_000_000_000n

export const post = create(PostSchema, {
  id: "post5678901234567890123456",
  createAt: TIME,
  updateAt: TIME,
  userId: "user5678901234567890123456",
  channelId: "chan5678901234567890123456",
  rootId: "root5678901234567890123456",
  message:
    "A message of ordinary length, as people write them all day: a sentence or two, with nothing in it that " +
    "any plugin would mind, so that it is passed on unchanged.",
  hashtags: "#bench",
})
