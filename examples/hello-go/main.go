// hello-go does what hello-python does, as a native plugin: it serves the hooks of the contract on go-plugin and calls
// the host API back.
package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	contract "hello-go/contract/mattermost/pluginapi/v1"
)

const (
	blockedWord = "forbidden"
	greeting    = "hello go"
)

var handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "MATTERMOST_PLUGIN",
	MagicCookieValue: "Securely message teams, anywhere.",
}

// hooks answers the host. A hook that isn't in Implemented is never called.
type hooks struct {
	contract.UnimplementedPluginHooksServer
	api contract.PluginAPIClient
	log hclog.Logger
}

func (h *hooks) Implemented(context.Context, *contract.ImplementedRequest) (*contract.ImplementedResponse, error) {
	return &contract.ImplementedResponse{
		Hooks: []string{"OnActivate", "OnDeactivate", "MessageWillBePosted", "MessageHasBeenPosted", "ServeHTTP"},
	}, nil
}

func (h *hooks) OnActivate(ctx context.Context, _ *contract.OnActivateRequest) (*contract.OnActivateResponse, error) {
	version, err := h.api.GetServerVersion(ctx, &contract.GetServerVersionRequest{})
	if err != nil {
		return &contract.OnActivateResponse{
			Error: &contract.AppError{Id: "hello-go.activate", Message: err.Error(), StatusCode: 500},
		}, nil
	}
	h.log.Info("hello-go is active", "server_version", version.GetVersion())
	return &contract.OnActivateResponse{}, nil
}

func (h *hooks) OnDeactivate(context.Context, *contract.OnDeactivateRequest) (*contract.OnDeactivateResponse, error) {
	h.log.Info("hello-go says goodbye")
	return &contract.OnDeactivateResponse{}, nil
}

func (h *hooks) MessageWillBePosted(
	_ context.Context, request *contract.MessageWillBePostedRequest,
) (*contract.MessageWillBePostedResponse, error) {
	if strings.Contains(strings.ToLower(request.GetPost().GetMessage()), blockedWord) {
		return &contract.MessageWillBePostedResponse{
			RejectionReason: fmt.Sprintf("the word '%s' is not allowed here", blockedWord),
		}, nil
	}
	return &contract.MessageWillBePostedResponse{}, nil
}

func (h *hooks) MessageHasBeenPosted(
	ctx context.Context, request *contract.MessageHasBeenPostedRequest,
) (*contract.MessageHasBeenPostedResponse, error) {
	post := request.GetPost()
	// Our own answers have a root; answering them would never end.
	if post.GetRootId() == "" && strings.Contains(strings.ToLower(post.GetMessage()), greeting) {
		answer := &contract.Post{
			ChannelId: post.GetChannelId(), UserId: post.GetUserId(), RootId: post.GetId(), Message: "Hello from Go!",
		}
		if _, err := h.api.CreatePost(ctx, &contract.CreatePostRequest{Post: answer}); err != nil {
			h.log.Error("can't answer", "error", err)
		}
	}
	return &contract.MessageHasBeenPostedResponse{}, nil
}

func (h *hooks) ServeHTTP(stream contract.PluginHooks_ServeHTTPServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	init := first.GetInit()
	target, err := url.Parse(init.GetUrl())
	if err != nil {
		return err
	}
	if init.GetMethod() == "POST" && target.Path == "/echo" {
		return echo(stream, first)
	}
	// A stray word on stdout after the handshake reaches the host's log.
	fmt.Println("serving", target.Path)
	return stream.Send(&contract.ServeHTTPResponse{
		Init:         &contract.ServeHTTPResponseInit{StatusCode: 200},
		BodyChunk:    []byte("Hello from Go!"),
		BodyComplete: true,
	})
}

// echo sends the body back as it arrives.
func echo(stream contract.PluginHooks_ServeHTTPServer, first *contract.ServeHTTPRequest) error {
	if err := stream.Send(&contract.ServeHTTPResponse{Init: &contract.ServeHTTPResponseInit{}}); err != nil {
		return err
	}
	message := first
	for {
		response := &contract.ServeHTTPResponse{BodyChunk: message.GetBodyChunk(), BodyComplete: message.GetBodyComplete()}
		if err := stream.Send(response); err != nil || response.BodyComplete {
			return err
		}
		next, err := stream.Recv()
		if err == io.EOF {
			return stream.Send(&contract.ServeHTTPResponse{BodyComplete: true})
		}
		if err != nil {
			return err
		}
		message = next
	}
}

// hooksPlugin registers the hooks on the server that go-plugin makes.
type hooksPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	hooks *hooks
}

func (p *hooksPlugin) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	contract.RegisterPluginHooksServer(server, p.hooks)
	return nil
}

func (p *hooksPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (interface{}, error) {
	return nil, fmt.Errorf("this program is a plugin, not a host")
}

func main() {
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: os.Stderr, JSONFormat: true})
	// The connection is made by the first call, and go-plugin itself refuses to run without a host.
	connection, err := grpc.NewClient(
		os.Getenv("MATTERMOST_PLUGIN_API_TARGET"), grpc.WithTransportCredentials(insecure.NewCredentials()),
	)
	if err != nil {
		log.Error("no host API", "error", err)
		os.Exit(1)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: handshake,
		Plugins: map[string]plugin.Plugin{
			"hooks": &hooksPlugin{hooks: &hooks{api: contract.NewPluginAPIClient(connection), log: log}},
		},
		GRPCServer: plugin.DefaultGRPCServer,
		Logger:     log,
	})
}
