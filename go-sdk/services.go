package supervised

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// serveHTTP is the rpc by which a host hands on a request, and its name among what a plugin implements.
const serveHTTP = "ServeHTTP"

// service is one that is to be served, by whatever carries its calls.
type service struct {
	described *grpc.ServiceDesc
	methods   any
}

// services are registered before it is known what carries their calls.
type services []service

// RegisterService is what the functions of generated stubs call.
func (s *services) RegisterService(described *grpc.ServiceDesc, methods any) {
	*s = append(*s, service{described, methods})
}

// haveServeHTTP tells whether the plugin implements ServeHTTP, as it says itself; one that does not say implements what is
// registered.
func (s services) haveServeHTTP() bool {
	if !slices.ContainsFunc(s, service.hasServeHTTP) {
		return false
	}
	for _, each := range s {
		for _, method := range each.described.Methods {
			if method.MethodName != "Implemented" {
				continue
			}
			answer, err := method.Handler(each.methods, context.Background(), func(any) error { return nil }, nil)
			if message, ok := answer.(proto.Message); ok && err == nil {
				return slices.Contains(textsOf(message, "hooks"), serveHTTP)
			}
		}
	}
	return true
}

func (s service) hasServeHTTP() bool {
	return slices.ContainsFunc(s.described.Streams, func(stream grpc.StreamDesc) bool {
		return stream.StreamName == serveHTTP
	})
}

// textsOf are the texts of a message's repeated field.
func textsOf(message proto.Message, name protoreflect.Name) []string {
	reflected := message.ProtoReflect()
	list := fieldOf(reflected, name).List()
	texts := make([]string, list.Len())
	for index := range texts {
		texts[index] = list.Get(index).String()
	}
	return texts
}
