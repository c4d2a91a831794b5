package supervised

import (
	"io"
	"net/http"
	"net/url"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// maxChunk is what a message of a body has at most, as the contracts recommend it.
const maxChunk = 64 * 1024

// bridged is a service whose ServeHTTP, if it has one, is answered by a handler, for hosts that ask for no web server.
func (s service) bridged(handler http.Handler) *grpc.ServiceDesc {
	if handler == nil || !s.hasServeHTTP() {
		return s.described
	}
	described := *s.described
	described.Streams = slices.Clone(s.described.Streams)
	for index := range described.Streams {
		if stream := &described.Streams[index]; stream.StreamName == serveHTTP {
			stream.Handler = func(_ any, stream grpc.ServerStream) error {
				return bridge(protoreflect.FullName(s.described.ServiceName), handler, stream)
			}
		}
	}
	return &described
}

// bridge answers one request. Every contract that has ServeHTTP has the same messages, under its own names.
func bridge(service protoreflect.FullName, handler http.Handler, stream grpc.ServerStream) (err error) {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(service.Append(serveHTTP))
	if err != nil {
		return err
	}
	method := found.(protoreflect.MethodDescriptor)
	receives, err := protoregistry.GlobalTypes.FindMessageByName(method.Input().FullName())
	if err != nil {
		return err
	}
	sends, err := protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName())
	if err != nil {
		return err
	}
	body := &requestBody{stream: stream, kind: receives}
	first, err := body.receive()
	if err != nil {
		return err
	}
	init := fieldOf(first, "init").Message()
	text := func(name protoreflect.Name) string { return fieldOf(init, name).String() }
	number := func(name protoreflect.Name) int { return int(fieldOf(init, name).Int()) }
	target, err := url.ParseRequestURI(text("url"))
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	request := (&http.Request{
		Method: text("method"), URL: target, RequestURI: text("request_uri"),
		Proto: text("proto"), ProtoMajor: number("proto_major"), ProtoMinor: number("proto_minor"),
		Header: http.Header{}, Host: text("host"), RemoteAddr: text("remote_addr"),
		ContentLength: int64(number("content_length")), Body: body,
	}).WithContext(stream.Context())
	headers := fieldOf(init, "headers").List()
	for index := range headers.Len() {
		header := headers.Get(index).Message()
		for _, value := range textsOf(header.Interface(), "values") {
			request.Header.Add(fieldOf(header, "key").String(), value)
		}
	}
	response := &response{stream: stream, kind: sends, header: http.Header{}}
	defer func() {
		// As in a web server: the request fails, and the plugin goes on.
		if failed := recover(); failed != nil {
			err = status.Errorf(codes.Internal, "the handler has failed: %v", failed)
		}
	}()
	handler.ServeHTTP(response, request)
	return response.end()
}

// requestBody is a body as it arrives.
type requestBody struct {
	stream     grpc.ServerStream
	kind       protoreflect.MessageType
	unread     []byte
	isComplete bool
}

func (b *requestBody) receive() (protoreflect.Message, error) {
	message := b.kind.New()
	if err := b.stream.RecvMsg(message.Interface()); err != nil {
		return nil, err
	}
	b.unread = fieldOf(message, "body_chunk").Bytes()
	b.isComplete = fieldOf(message, "body_complete").Bool()
	return message, nil
}

func (b *requestBody) Read(into []byte) (int, error) {
	for len(b.unread) == 0 {
		if b.isComplete {
			return 0, io.EOF
		}
		if _, err := b.receive(); err != nil {
			return 0, err
		}
	}
	read := copy(into, b.unread)
	b.unread = b.unread[read:]
	return read, nil
}

func (b *requestBody) Close() error { return nil }

// response writes a response as messages.
type response struct {
	stream grpc.ServerStream
	kind   protoreflect.MessageType
	header http.Header
	isSent bool
}

func (r *response) Header() http.Header { return r.header }

func (r *response) WriteHeader(code int) {
	if !r.isSent && code >= 200 {
		r.send(r.message(code))
	}
}

func (r *response) Write(bytes []byte) (int, error) {
	if r.header.Get("Content-Type") == "" && !r.isSent {
		r.header.Set("Content-Type", http.DetectContentType(bytes))
	}
	written := 0
	for chunk := range slices.Chunk(bytes, maxChunk) {
		message := r.message(http.StatusOK)
		setField(message, "body_chunk", protoreflect.ValueOfBytes(chunk))
		if err := r.send(message); err != nil {
			return written, err
		}
		written += len(chunk)
	}
	return written, nil
}

// Flush is http.Flusher's.
func (r *response) Flush() {
	message := r.message(http.StatusOK)
	setField(message, "flush", protoreflect.ValueOfBool(true))
	r.send(message)
}

// EnableFullDuplex is http.ResponseController's: a body may be read while the response is written.
func (r *response) EnableFullDuplex() error { return nil }

func (r *response) end() error {
	message := r.message(http.StatusOK)
	setField(message, "body_complete", protoreflect.ValueOfBool(true))
	return r.send(message)
}

func (r *response) send(message protoreflect.Message) error {
	return r.stream.SendMsg(message.Interface())
}

// message is the next one; the first has the head.
func (r *response) message(code int) protoreflect.Message {
	message := r.kind.New()
	if r.isSent {
		return message
	}
	r.isSent = true
	init := message.Mutable(message.Descriptor().Fields().ByName("init")).Message()
	setField(init, "status_code", protoreflect.ValueOfInt32(int32(code)))
	headers := init.Mutable(init.Descriptor().Fields().ByName("headers")).List()
	for key, values := range r.header {
		header := headers.AppendMutable().Message()
		setField(header, "key", protoreflect.ValueOfString(key))
		list := header.Mutable(header.Descriptor().Fields().ByName("values")).List()
		for _, value := range values {
			list.Append(protoreflect.ValueOfString(value))
		}
	}
	return message
}

func fieldOf(message protoreflect.Message, name protoreflect.Name) protoreflect.Value {
	return message.Get(message.Descriptor().Fields().ByName(name))
}

func setField(message protoreflect.Message, name protoreflect.Name, value protoreflect.Value) {
	message.Set(message.Descriptor().Fields().ByName(name), value)
}
