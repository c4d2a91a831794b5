package main

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"

	contract "reference/contract/mattermost/pluginapi/v1"
)

// api is a host API that has one value under every key.
type api struct {
	contract.UnimplementedPluginAPIServer
}

func (api) KVSet(context.Context, *contract.KVSetRequest) (*contract.KVSetResponse, error) {
	return &contract.KVSetResponse{}, nil
}

func (api) KVGet(context.Context, *contract.KVGetRequest) (*contract.KVGetResponse, error) {
	return &contract.KVGetResponse{Value: []byte("value")}, nil
}

func serveAPI(path string) error {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	contract.RegisterPluginAPIServer(server, api{})
	go server.Serve(listener)
	defer server.Stop()
	fmt.Println("serves")
	return untilStdinEnds()
}
