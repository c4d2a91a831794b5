"""ttrpc, containerd's protocol, which the engine speaks under a host of its own: calls over inherited sockets."""
