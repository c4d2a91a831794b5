package supervised

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// socketPair is what a host and a plugin that it starts share.
func socketPair(t *testing.T) (host, plugin net.Conn) {
	descriptors, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var both [2]net.Conn
	for index, descriptor := range descriptors {
		file := os.NewFile(uintptr(descriptor), "pair")
		if both[index], err = net.FileConn(file); err != nil {
			t.Fatal(err)
		}
		file.Close()
		t.Cleanup(func() { both[index].Close() })
	}
	return both[0], both[1]
}

// ask sends a call of a stream, and answers with which code it ends.
func ask(t *testing.T, conn net.Conn, stream uint32) codes.Code {
	request, err := proto.Marshal(&ttrpc.Request{Service: "grpc.health.v1.Health", Method: "Check"})
	if err != nil {
		t.Fatal(err)
	}
	header := binary.BigEndian.AppendUint32(nil, uint32(len(request)))
	header = append(binary.BigEndian.AppendUint32(header, stream), requestFrame, 0)
	if _, err := conn.Write(append(header, request...)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, header); err != nil {
		t.Fatalf("stream %d: %v", stream, err)
	}
	answer := make([]byte, binary.BigEndian.Uint32(header))
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	var response ttrpc.Response
	if err := proto.Unmarshal(answer, &response); err != nil {
		t.Fatal(err)
	}
	return codes.Code(response.GetStatus().GetCode())
}

// A connection takes so many streams; a plugin that has no more left answers the last one, and ends.
func TestEndsWhenItsConnectionIsUsedUp(t *testing.T) {
	maxStreams = 3
	host, hooks := socketPair(t)
	_, api := socketPair(t)
	over := newTTRPC(Config{Logger: hclog.NewNullLogger()}, &offer{hooks, api, 3})
	served := make(chan struct{})
	go func() {
		defer close(served)
		over.serve(nil)
	}()
	for call := range maxStreams {
		code := ask(t, host, uint32(2*call+1))
		// It may have begun to end when the last one begins.
		if code != codes.OK && (code != codes.Unavailable || call < maxStreams-1) {
			t.Errorf("call %d: %v", call+1, code)
		}
	}
	<-served
	if _, err := host.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection goes on: %v", err)
	}
	if !over.hooks.isEnding() {
		t.Error("it takes its host for gone")
	}
}

func TestFramesAreCountedInPiecesOfAnySize(t *testing.T) {
	var bytes []byte
	for _, frame := range []struct {
		kind   byte
		length byte
	}{{requestFrame, 0}, {requestFrame, 200}, {responseFrame, 3}, {requestFrame, 1}} {
		bytes = append(bytes, 0, 0, 0, frame.length, 0, 0, 0, 1, frame.kind, 0)
		bytes = append(bytes, make([]byte, frame.length)...)
	}
	for size := 1; size <= len(bytes); size++ {
		passed, counted := frames{}, 0
		for piece := range slices.Chunk(bytes, size) {
			counted += passed.pass(piece, requestFrame)
		}
		if counted != 3 || passed.have != 0 {
			t.Errorf("in pieces of %d: %d", size, counted)
		}
	}
}
