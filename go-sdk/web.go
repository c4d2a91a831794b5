package supervised

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"
)

const (
	// keepAlive is how long a connection is kept that nothing goes over. Hosts close theirs long before, so that no
	// request meets one that is just being closed.
	keepAlive = 10 * time.Minute
	// stopLimit is how long open responses have when the plugin ends.
	stopLimit = 500 * time.Millisecond
)

// webServer serves HTTP on a private socket, once a host has asked for it.
type webServer struct {
	server *http.Server
	logger hclog.Logger
	listen func() (string, error)
}

func newWebServer(config Config) *webServer {
	web := &webServer{logger: config.Logger}
	if config.HTTP != nil {
		web.server = &http.Server{Handler: asTold(config.HTTP), IdleTimeout: keepAlive}
		web.server.ErrorLog = config.Logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Warn})
	}
	web.listen = sync.OnceValues(web.start)
	return web
}

// start listens, and answers the address; an empty one where HTTP is not served here.
func (w *webServer) start() (string, error) {
	folder := os.Getenv(plugin.EnvUnixSocketDir)
	if w.server == nil || folder == "" || runtime.GOOS == "windows" {
		return "", nil
	}
	path, err := filepath.Abs(filepath.Join(folder, "http.sock"))
	if err != nil {
		return "", err
	}
	// Of an earlier process: the folder is this plugin's.
	os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		return "", err
	}
	if err := restrict(path, os.Getenv(plugin.EnvUnixSocketGroup)); err != nil {
		listener.Close()
		return "", err
	}
	go w.server.Serve(listener)
	return "unix:" + path, nil
}

// restrict lets the plugin's user use a socket, and the group that the host names.
func restrict(path, group string) error {
	if group == "" {
		return os.Chmod(path, 0o600)
	}
	id, err := strconv.Atoi(group)
	if err != nil {
		found, err := user.LookupGroup(group)
		if err != nil {
			return err
		}
		if id, err = strconv.Atoi(found.Gid); err != nil {
			return err
		}
	}
	if err := os.Chown(path, -1, id); err != nil {
		return err
	}
	return os.Chmod(path, 0o660)
}

// stop ends the server, and removes its socket.
func (w *webServer) stop() {
	if w.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	if w.server.Shutdown(ctx) != nil {
		w.server.Close()
	}
}

// service is plugin_supervisor.v1.PluginOffers, by which a host asks what there is beside its contract. Calls begin in any
// order, so that is not offered.
func (w *webServer) service() service {
	return service{methods: w, described: &grpc.ServiceDesc{
		ServiceName: "plugin_supervisor.v1.PluginOffers",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Describe", Handler: func(
			_ any, _ context.Context, _ func(any) error, _ grpc.UnaryServerInterceptor,
		) (any, error) {
			address, err := w.listen()
			if err != nil {
				w.logger.Error("the plugin's web server could not start", "error", err)
				return nil, status.Error(codes.Internal, fmt.Sprintf("the plugin's web server could not start: %v", err))
			}
			return describeResponse(address), nil
		}}},
	}}
}

// describeResponse is a plugin_supervisor.v1.DescribeResponse, by its bytes: stubs of a message can be in a program once,
// and the plugin may have its own.
func describeResponse(address string) *emptypb.Empty {
	response := &emptypb.Empty{}
	if address == "" {
		return response
	}
	server := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), address)
	response.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), server))
	return response
}

// asTold gives a request back what the host has told of it, in headers that only hosts can set.
func asTold(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		take := func(name string) string {
			name = "Plugin-Supervisor-" + name
			value := request.Header.Get(name)
			request.Header.Del(name)
			return value
		}
		if target := take("Target"); target != "" {
			request.RequestURI = target
		}
		if client := take("Client"); client != "" {
			request.RemoteAddr = client
		}
		if protocol := take("Protocol"); protocol != "" {
			if major, minor, ok := http.ParseHTTPVersion(protocol); ok {
				request.Proto, request.ProtoMajor, request.ProtoMinor = protocol, major, minor
			}
		}
		handler.ServeHTTP(writer, request)
	})
}
