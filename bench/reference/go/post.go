package main

import contract "reference/contract/mattermost/pluginapi/v1"

// post is the one that all hosts of the bench ask about; bench/ratios/post.ts has the same.
func post() *contract.Post {
	return &contract.Post{
		Id:        "post5678901234567890123456",
		CreateAt:  1_700_000_000_000,
		UpdateAt:  1_700_000_000_000,
		UserId:    "user5678901234567890123456",
		ChannelId: "chan5678901234567890123456",
		RootId:    "root5678901234567890123456",
		Message:   message,
		Hashtags:  "#bench",
	}
}

const message = "A message of ordinary length, as people write them all day: a sentence or two, with nothing in it that " +
	"any plugin would mind, so that it is passed on unchanged."
