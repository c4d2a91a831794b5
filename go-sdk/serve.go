// Package supervised serves a plugin on hashicorp/go-plugin's gRPC protocol, as go-plugin's own Serve does, and lets it
// take what a host of effect-plugin-supervisor offers beyond that: calls over ttrpc on two sockets that the plugin
// inherits, which cost less than gRPC's, and HTTP from a web server of the plugin's own. The services and clients are those
// that protoc-gen-go-grpc generates, whatever carries the calls.
package supervised

import (
	"net/http"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// Config is what Serve has to know of a plugin.
type Config struct {
	// Handshake is what plugin and host agree on: the magic cookie, and the version of their protocol.
	Handshake plugin.HandshakeConfig

	// APITarget is where the host's API is to be called over gRPC, as the host says in a variable of its contract. Over
	// ttrpc it is not used.
	APITarget string

	// Register registers the plugin's services by the functions of their generated stubs; api is for the generated clients
	// of the host's API. It is called once, before the host calls the plugin. Streams are not called over ttrpc, and
	// calls there have neither headers nor trailers of an answer, nor a peer; metadata, deadlines, and statuses with
	// their details mean the same on both.
	Register func(server grpc.ServiceRegistrar, api grpc.ClientConnInterface)

	// HTTP answers the requests that the host hands on, for a plugin whose Implemented names ServeHTTP: by a web server on a
	// private socket where the host asks for one, else by the rpc ServeHTTP of whatever service has one, in place of
	// the method that is registered. Of a request, RequestURI is the target as the client wrote it, URL has no
	// `/plugins/{id}` before it, and RemoteAddr is who has connected to the host. Without it a plugin that implements
	// ServeHTTP speaks gRPC, since bodies would hold up the calls that they share a ttrpc connection with.
	HTTP http.Handler

	// MaxMessageSize is for a plugin that takes messages of more than 4 MiB: their largest size in bytes. Over ttrpc a
	// message has 64 KiB less than 4 MiB, either way, so a plugin that asks for more speaks gRPC. Default: 0, which is
	// what ttrpc has, and over gRPC 4 MiB for what is received.
	MaxMessageSize int

	// Logger logs what is wrong, and over ttrpc what is printed. Default: to the standard error, as JSON, which is what a
	// host reads.
	Logger hclog.Logger
}

// Serve serves the plugin until its host ends it, or is gone. A program that no host has started ends here, with a word
// about that.
//
// It takes the host's sockets out of the environment first, so that no program that the plugin starts afterwards has
// them. What is printed to os.Stdout and os.Stderr from then on is logged by the host.
func Serve(config Config) {
	if config.Logger == nil {
		config.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: os.Stderr, JSONFormat: true})
	}
	cookie := config.Handshake
	if cookie.MagicCookieKey == "" || os.Getenv(cookie.MagicCookieKey) != cookie.MagicCookieValue {
		// It knows what to say.
		plugin.Serve(&plugin.ServeConfig{HandshakeConfig: cookie, GRPCServer: plugin.DefaultGRPCServer})
		return
	}
	offered := claimOffer()
	if config.MaxMessageSize > maxMessage {
		offered = offered.decline()
	}
	web := newWebServer(config)
	defer web.stop()
	services := services{web.service()}
	if offered == nil {
		config.Register(&services, apiOverGRPC(config))
		serveGRPC(config, services)
		return
	}
	// A plugin may call its host before it is known whether what it implements can be served over ttrpc.
	api := &switchedAPI{}
	over := newTTRPC(config, offered)
	api.use(over.api)
	config.Register(&services, api)
	if config.HTTP == nil && services.haveServeHTTP() {
		config.Logger.Debug("calls go over gRPC, since the plugin implements ServeHTTP and has no http.Handler for it")
		over.close()
		api.use(apiOverGRPC(config))
		serveGRPC(config, services)
		return
	}
	over.serve(services)
}
