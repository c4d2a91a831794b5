package main

import (
	"io"
	"net/rpc"
	"os"
	"os/exec"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
)

var handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "BENCH_PLUGIN",
	MagicCookieValue: "bench",
}

// Post is a post as net/rpc sends it, by encoding/gob: the fields that post() has.
type Post struct {
	Id, UserId, ChannelId, RootId, Message, Hashtags string
	CreateAt, UpdateAt                               int64
}

// Answer is what a plugin makes of a post; none leaves it as it is.
type Answer struct {
	Post   *Post
	Reason string
}

// Hooks is what is called; net/rpc passes over methods whose types are not exported.
type Hooks struct{}

func (Hooks) MessageWillBePosted(post *Post, answer *Answer) error {
	if post.Message == "" {
		answer.Reason = "it is empty"
	}
	return nil
}

type rpcPlugin struct{}

func (rpcPlugin) Server(*plugin.MuxBroker) (any, error) {
	return Hooks{}, nil
}

func (rpcPlugin) Client(_ *plugin.MuxBroker, client *rpc.Client) (any, error) {
	return client, nil
}

func netRPCPlugin() {
	plugin.Serve(&plugin.ServeConfig{HandshakeConfig: handshake, Plugins: plugin.PluginSet{"hooks": rpcPlugin{}}})
}

func serveNetRPC() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          plugin.PluginSet{"hooks": rpcPlugin{}},
		Cmd:              exec.Command(program, "netrpc-plugin"),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolNetRPC},
		Logger:           hclog.New(&hclog.LoggerOptions{Output: io.Discard}),
	})
	defer client.Kill()
	protocol, err := client.Client()
	if err != nil {
		return err
	}
	dispensed, err := protocol.Dispense("hooks")
	if err != nil {
		return err
	}
	hooks := dispensed.(*rpc.Client)
	asked := post()
	return answer(map[string]func() error{
		"ask": func() error {
			return hooks.Call("Plugin.MessageWillBePosted", &Post{
				Id:        asked.Id,
				UserId:    asked.UserId,
				ChannelId: asked.ChannelId,
				RootId:    asked.RootId,
				Message:   asked.Message,
				Hashtags:  asked.Hashtags,
				CreateAt:  asked.CreateAt,
				UpdateAt:  asked.UpdateAt,
			}, &Answer{})
		},
	})
}
