package supervised

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// maxCalls is how many calls a host answers at once over ttrpc; further ones wait for their turn here.
const maxCalls = 1000

// apiOverGRPC is the host's API over gRPC. The connection is made by the first call.
func apiOverGRPC(config Config) grpc.ClientConnInterface {
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if config.MaxMessageSize > 0 {
		options = append(options, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(config.MaxMessageSize)))
	}
	conn, err := grpc.NewClient(config.APITarget, options...)
	if err != nil {
		return unreachable{status.Errorf(codes.Unavailable, "the host's API can't be called at %q: %v", config.APITarget, err)}
	}
	return conn
}

// unreachable is an API whose calls all fail.
type unreachable struct{ err error }

func (u unreachable) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return u.err
}

func (u unreachable) NewStream(
	context.Context, *grpc.StreamDesc, string, ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return nil, u.err
}

// ttrpcAPI is the host's API over ttrpc.
type ttrpcAPI struct {
	client *ttrpc.Client
	turns  chan struct{}
}

func newTTRPCAPI(client *ttrpc.Client) *ttrpcAPI {
	return &ttrpcAPI{client, make(chan struct{}, maxCalls)}
}

func (a *ttrpcAPI) Invoke(ctx context.Context, method string, request, answer any, _ ...grpc.CallOption) error {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	if message, ok := request.(proto.Message); ok {
		if err := checkSize("the request", message); err != nil {
			return err
		}
	}
	select {
	case a.turns <- struct{}{}:
		defer func() { <-a.turns }()
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
	err := a.client.Call(outgoing(ctx), service, name, request, answer)
	if errors.Is(err, ttrpc.ErrClosed) {
		return status.Error(codes.Unavailable, "the connection to the host has ended")
	}
	if _, ok := status.FromError(err); !ok {
		return status.FromContextError(err).Err()
	}
	return err
}

func (a *ttrpcAPI) NewStream(
	_ context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return nil, status.Errorf(codes.Unimplemented, "%s is a stream, which the host does not serve over ttrpc", method)
}

// outgoing is a call's context with the metadata that gRPC would send, and no other: a handler's context has that of its
// own call.
func outgoing(ctx context.Context) context.Context {
	sent := ttrpc.MD{}
	given, _ := metadata.FromOutgoingContext(ctx)
	for key, values := range given {
		for _, value := range values {
			if strings.HasSuffix(key, "-bin") {
				value = base64.RawStdEncoding.EncodeToString([]byte(value))
			}
			sent.Append(key, value)
		}
	}
	return ttrpc.WithMetadata(ctx, sent)
}

// switchedAPI is the host's API by what carries its calls now.
type switchedAPI struct {
	current atomic.Pointer[grpc.ClientConnInterface]
}

func (s *switchedAPI) use(api grpc.ClientConnInterface) {
	s.current.Store(&api)
}

func (s *switchedAPI) Invoke(ctx context.Context, method string, request, answer any, more ...grpc.CallOption) error {
	return (*s.current.Load()).Invoke(ctx, method, request, answer, more...)
}

func (s *switchedAPI) NewStream(
	ctx context.Context, described *grpc.StreamDesc, method string, more ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return (*s.current.Load()).NewStream(ctx, described, method, more...)
}
