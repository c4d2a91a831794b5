package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	contract "reference/contract/mattermost/pluginapi/v1"
)

// serveWire calls a server's hooks: a unary call each, without a deadline.
func serveWire(address string) error {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	hooks := contract.NewPluginHooksClient(connection)
	ctx := context.Background()
	return answer(map[string]func() error{
		"ask": func() error {
			_, err := hooks.MessageWillBePosted(ctx, &contract.MessageWillBePostedRequest{Post: post()})
			return err
		},
		"tell": func() error {
			_, err := hooks.MessageHasBeenPosted(ctx, &contract.MessageHasBeenPostedRequest{Post: post()})
			return err
		},
	})
}
