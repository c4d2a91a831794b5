"""How a plugin's ServeHTTP is served: by the contract's gRPC, or by a web server on a private socket."""
