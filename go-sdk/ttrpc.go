package supervised

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

const (
	// maxMessage is the most that a message has over ttrpc, in bytes: 4 MiB, which a Go server and a Go client have for a
	// frame, less what goes with a message.
	maxMessage = 4<<20 - 64<<10
	// drainLimit is how long calls that are being answered have when the host ends the plugin, and giveUpLimit how long
	// their handlers then have to give up. It waits two seconds for the plugin's end.
	drainLimit, giveUpLimit = time.Second, 250 * time.Millisecond
	// orphanLimit is how long a plugin lives on without its host, whatever it does at its end.
	orphanLimit = time.Second
)

// overTTRPC is a plugin's life on the sockets that its host offers.
type overTTRPC struct {
	config Config
	offer  *offer
	hooks  *hooksConn
	client *ttrpc.Client
	api    grpc.ClientConnInterface

	// Closed when the plugin is to end.
	ended chan struct{}
	end   func()
}

func newTTRPC(config Config, offered *offer) *overTTRPC {
	over := &overTTRPC{config: config, offer: offered, ended: make(chan struct{})}
	over.end = sync.OnceFunc(func() { close(over.ended) })
	over.hooks = &hooksConn{Conn: offered.hooks, ended: over.end, used: over.endUsed}
	over.client = ttrpc.NewClient(offered.api, ttrpc.WithOnClose(over.end))
	over.api = newTTRPCAPI(over.client)
	return over
}

// close ends both connections.
func (o *overTTRPC) close() {
	o.client.Close()
	o.hooks.Conn.Close()
}

// endUsed ends the plugin, to be started anew by its host, since a connection takes no more calls than it has had.
func (o *overTTRPC) endUsed() {
	o.config.Logger.Warn("the connection to the host is used up: the plugin ends, and is to be started anew", "calls", maxStreams)
	o.hooks.drain(0, drainLimit)
	o.hooks.endNext()
	o.end()
}

// serve serves until the host has asked the plugin to end, or is gone.
func (o *overTTRPC) serve(registered services) {
	server, err := ttrpc.NewServer()
	if err != nil {
		o.config.Logger.Error("ttrpc can't be served", "error", err)
		os.Exit(1)
	}
	healthy := health.NewServer()
	// go-plugin's name for it, which hosts ask for.
	healthy.SetServingStatus("plugin", grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(&registered, healthy)
	for _, each := range registered {
		server.RegisterService(each.described.ServiceName, each.overTTRPC(o.hooks))
	}
	server.Register("plugin.GRPCController", map[string]ttrpc.Method{
		"Shutdown": func(context.Context, func(any) error) (any, error) {
			// All but this one.
			o.hooks.drain(1, drainLimit)
			o.hooks.endNext()
			return &emptypb.Empty{}, nil
		},
	})

	fmt.Printf("%d|%d|fd|%d|ttrpc\n", plugin.CoreProtocolVersion, o.config.Handshake.ProtocolVersion, o.offer.descriptor)
	defer logOutput(o.config.Logger)()
	// The host's, who ends its plugins itself; not ignored, as programs that the plugin starts would inherit that.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)

	ctx, cancel := context.WithCancel(context.Background())
	go server.Serve(ctx, onlyOne{o.hooks, &sync.Once{}, o.ended})
	<-o.ended
	if !o.hooks.isEnding() {
		// The host is gone. Whatever main does now, the plugin ends.
		time.AfterFunc(orphanLimit, func() { os.Exit(1) })
	}
	cancel()
	o.hooks.drain(0, giveUpLimit)
	// It closes its connection.
	server.Close()
	o.client.Close()
}

// overTTRPC is a service's methods as ttrpc has them.
func (s service) overTTRPC(conn *hooksConn) *ttrpc.ServiceDesc {
	methods := make(map[string]ttrpc.Method, len(s.described.Methods))
	for _, method := range s.described.Methods {
		methods[method.MethodName] = func(ctx context.Context, decode func(any) error) (any, error) {
			if conn.isDrained() {
				return nil, status.Error(codes.Unavailable, "the plugin is ending")
			}
			return sendable(method.Handler(s.methods, incoming(ctx), decode, nil))
		}
	}
	return &ttrpc.ServiceDesc{Methods: methods}
}

// sendable is an answer as gRPC would send it. What is too large is an error: ttrpc would drop the connection.
func sendable(answer any, err error) (any, error) {
	if err == nil {
		message, ok := answer.(proto.Message)
		if ok {
			err = checkSize("the answer", message)
		}
		return answer, err
	}
	told, ok := status.FromError(err)
	if !ok {
		told = status.FromContextError(err)
	}
	if tooLarge := checkSize("the error", told.Proto()); tooLarge != nil {
		return nil, tooLarge
	}
	return nil, told.Err()
}

func checkSize(what string, message proto.Message) error {
	if size := proto.Size(message); size > maxMessage {
		return status.Errorf(codes.ResourceExhausted,
			"%s has %d bytes, and over ttrpc %d at most; a plugin with larger messages sets Config.MaxMessageSize",
			what, size, maxMessage)
	}
	return nil
}

// incoming is a call's context with its metadata where gRPC has it.
func incoming(ctx context.Context) context.Context {
	came, _ := ttrpc.GetMetadata(ctx)
	if len(came) == 0 {
		return ctx
	}
	all := metadata.MD{}
	for key, values := range came {
		for _, value := range values {
			if strings.HasSuffix(key, "-bin") {
				decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
				if err != nil {
					continue
				}
				value = string(decoded)
			}
			all.Append(key, value)
		}
	}
	return metadata.NewIncomingContext(ctx, all)
}

// onlyOne is a listener of one connection.
type onlyOne struct {
	net.Conn
	first *sync.Once
	ended <-chan struct{}
}

func (o onlyOne) Accept() (conn net.Conn, err error) {
	o.first.Do(func() { conn = o.Conn })
	if conn == nil {
		<-o.ended
		err = net.ErrClosed
	}
	return conn, err
}

func (o onlyOne) Close() error   { return nil }
func (o onlyOne) Addr() net.Addr { return o.Conn.LocalAddr() }
