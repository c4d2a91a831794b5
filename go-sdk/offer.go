package supervised

import (
	"net"
	"os"
	"strconv"
	"strings"
)

const (
	// offerVariable names two descriptors: over the first the host calls the plugin, over the second the plugin its host.
	offerVariable = "PLUGIN_SUPERVISOR_TTRPC"
	// tlsVariable is set by a host that wants TLS, which it does not get by these.
	tlsVariable = "PLUGIN_CLIENT_CERT"
)

// offer is what a host offers beside gRPC.
type offer struct {
	hooks, api net.Conn
	// The descriptor that the first one came by, which the handshake names.
	descriptor int
}

// claimOffer takes the sockets that the plugin has inherited; nil where a host offers none, or wants TLS.
func claimOffer() *offer {
	named := os.Getenv(offerVariable)
	os.Unsetenv(offerVariable)
	first, second, _ := strings.Cut(named, ",")
	hooks, descriptor := inherited(first)
	api, other := inherited(second)
	claimed := &offer{hooks, api, descriptor}
	if hooks == nil || api == nil || descriptor == other || os.Getenv(tlsVariable) != "" {
		return claimed.decline()
	}
	return claimed
}

// inherited is the connection by a descriptor, which programs that the plugin starts don't inherit; nil if there is none.
func inherited(name string) (net.Conn, int) {
	descriptor, err := strconv.Atoi(name)
	// The first three are somebody else's.
	if err != nil || descriptor <= 2 {
		return nil, 0
	}
	file := os.NewFile(uintptr(descriptor), "ttrpc")
	if file == nil {
		return nil, 0
	}
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, 0
	}
	// FileConn has made a descriptor of its own, which is closed on exec.
	file.Close()
	return conn, descriptor
}

// decline closes the sockets; the plugin speaks gRPC.
func (o *offer) decline() *offer {
	if o != nil {
		for _, conn := range []net.Conn{o.hooks, o.api} {
			if conn != nil {
				conn.Close()
			}
		}
	}
	return nil
}
