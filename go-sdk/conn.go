package supervised

import (
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// maxStreams is how many calls a connection takes: to containerd's server streams have odd numbers that grow, of 32 bits.
// Some are left for calls that come while the plugin ends. Tests have fewer.
var maxStreams = 1<<31 - 1<<16

// hooksConn is the connection over which the host calls the plugin. It knows how many calls have been read from it whose
// answers have not been written to it, which containerd's server does not tell: it would drop some of them at the end.
type hooksConn struct {
	net.Conn
	// Called when the connection has ended, and with the last answer.
	ended func()
	// Called, in a goroutine of its own, when there has been the last call that it takes.
	used func()

	requests, responses frames

	mu       sync.Mutex
	begun    int
	open     int
	drained  bool
	isLast   bool
	settled  chan struct{}
	expected int
}

func (c *hooksConn) Read(into []byte) (int, error) {
	read, err := c.Conn.Read(into)
	if came := c.requests.pass(into[:read], requestFrame); came > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.open += came
		if c.begun < maxStreams && c.begun+came >= maxStreams {
			go c.used()
		}
		c.begun += came
	}
	return read, err
}

func (c *hooksConn) Write(bytes []byte) (int, error) {
	written, err := c.Conn.Write(bytes)
	if went := c.responses.pass(bytes[:written], responseFrame); went > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.open -= went
		c.settle()
		if c.isLast {
			c.ended()
		}
	}
	return written, err
}

func (c *hooksConn) Close() error {
	c.ended()
	return c.Conn.Close()
}

// drain lets no further call begin, and waits until all but so many have been answered, for so long at most.
func (c *hooksConn) drain(left int, limit time.Duration) {
	settled := make(chan struct{})
	c.mu.Lock()
	c.drained, c.expected, c.settled = true, left, settled
	c.settle()
	c.mu.Unlock()
	select {
	case <-settled:
	case <-time.After(limit):
	}
}

func (c *hooksConn) settle() {
	if c.settled != nil && c.open <= c.expected {
		close(c.settled)
		c.settled = nil
	}
}

// isDrained tells whether no further call may begin.
func (c *hooksConn) isDrained() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drained
}

// endNext has the next answer be the last.
func (c *hooksConn) endNext() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isLast = true
}

// isEnding tells whether the connection's end is expected.
func (c *hooksConn) isEnding() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isLast
}

const (
	frameHeader   = 10
	requestFrame  = 1
	responseFrame = 2
)

// frames knows where ttrpc's frames end in one direction of a connection, whose bytes come in pieces of any size.
type frames struct {
	header [frameHeader]byte
	// How many bytes of the header there are, and how many of the data are to come.
	have, rest int
}

// pass goes over bytes, and answers how many frames of a type end in them.
func (f *frames) pass(bytes []byte, kind byte) (ended int) {
	for len(bytes) > 0 {
		if f.have < frameHeader {
			copied := copy(f.header[f.have:], bytes)
			bytes = bytes[copied:]
			if f.have += copied; f.have < frameHeader {
				return ended
			}
			f.rest = int(binary.BigEndian.Uint32(f.header[:4]))
		}
		passed := min(len(bytes), f.rest)
		bytes = bytes[passed:]
		if f.rest -= passed; f.rest == 0 {
			f.have = 0
			if f.header[8] == kind {
				ended++
			}
		}
	}
	return ended
}
