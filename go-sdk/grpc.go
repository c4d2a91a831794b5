package supervised

import (
	"context"
	"errors"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// serveGRPC serves as go-plugin does, until the host has asked the plugin to end.
func serveGRPC(config Config, registered services) {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: config.Handshake,
		Plugins:         map[string]plugin.Plugin{"plugin": &overGRPC{config: config, services: registered}},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			if config.MaxMessageSize > 0 {
				options = append(options, grpc.MaxRecvMsgSize(config.MaxMessageSize))
			}
			return grpc.NewServer(options...)
		},
		Logger: config.Logger,
	})
}

// overGRPC registers the services on the server that go-plugin makes.
type overGRPC struct {
	plugin.NetRPCUnsupportedPlugin
	config   Config
	services services
}

func (o *overGRPC) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	for _, each := range o.services {
		server.RegisterService(each.bridged(o.config.HTTP), each.methods)
	}
	return nil
}

func (o *overGRPC) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("this program is a plugin, not a host")
}
