// reference is what the bench's figures stand beside: Go programs that do what a host does with the least in between.
// Each reads what to measure from stdin, line by line, and answers each line with one of JSON.
//
//	reference wire ADDRESS    a host on grpc-go, which calls a plain gRPC server
//	reference netrpc          a host on go-plugin's net/rpc, which starts this program as its plugin
//	reference api PATH        a host API that answers constants on this socket until stdin ends; says when it does
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "wire":
		return serveWire(args[1])
	case len(args) == 1 && args[0] == "netrpc":
		return serveNetRPC()
	case len(args) == 1 && args[0] == "netrpc-plugin":
		netRPCPlugin()
		return nil
	case len(args) == 2 && args[0] == "api":
		return serveAPI(args[1])
	}
	return fmt.Errorf("usage: reference wire ADDRESS | netrpc | api PATH")
}

// untilStdinEnds is for what is not asked anything.
func untilStdinEnds() error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// answer measures what each line asks for, a name, a count and how many are in flight at a time, until there are no more.
func answer(calls map[string]func() error) error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var name string
		var count, inFlight int
		if _, err := fmt.Sscan(lines.Text(), &name, &count, &inFlight); err != nil {
			return fmt.Errorf("%q is not a name and two numbers: %w", lines.Text(), err)
		}
		call, known := calls[name]
		if !known {
			return fmt.Errorf("nothing is called %q", name)
		}
		result, err := measure(call, count, inFlight)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
			return err
		}
	}
	return lines.Err()
}
