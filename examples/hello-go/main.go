// hello-go does what hello-python does, as a native plugin: it serves the hooks of the contract and calls the host API back,
// on go-plugin, or over ttrpc where the host offers that.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	contract "hello-go/contract/mattermost/pluginapi/v1"
	"supervised"
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

// routes are what the plugin serves below /plugins/hello-go.
func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", echo)
	mux.HandleFunc("/", func(writer http.ResponseWriter, request *http.Request) {
		// A stray word on stdout after the handshake reaches the host's log.
		fmt.Println("serving", request.URL.Path)
		fmt.Fprint(writer, "Hello from Go!")
	})
	return mux
}

// echo sends the body back as it arrives.
func echo(writer http.ResponseWriter, request *http.Request) {
	// Else the body has to be read before the response is written.
	http.NewResponseController(writer).EnableFullDuplex()
	io.Copy(writer, request.Body)
}

func main() {
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: os.Stderr, JSONFormat: true})
	supervised.Serve(supervised.Config{
		Handshake: handshake,
		APITarget: os.Getenv("MATTERMOST_PLUGIN_API_TARGET"),
		Register: func(server grpc.ServiceRegistrar, api grpc.ClientConnInterface) {
			contract.RegisterPluginHooksServer(server, &hooks{api: contract.NewPluginAPIClient(api), log: log})
		},
		HTTP:   routes(),
		Logger: log,
	})
}
