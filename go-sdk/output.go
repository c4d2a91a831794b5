package supervised

import (
	"bufio"
	"os"

	"github.com/hashicorp/go-hclog"
)

// logOutput has what is printed logged by line, as a go-plugin host logs it: what follows the handshake on the real
// stdout nobody reads. The function that it answers ends that.
func logOutput(logger hclog.Logger) func() {
	stdout, stderr := os.Stdout, os.Stderr
	reading, writing, err := os.Pipe()
	if err != nil {
		logger.Warn("what is printed to stdout is not logged", "error", err)
		return func() {}
	}
	os.Stdout, os.Stderr = writing, writing
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		lines := bufio.NewReaderSize(reading, 64*1024)
		for {
			// A longer line is several.
			line, _, err := lines.ReadLine()
			if len(line) > 0 {
				logger.Info(string(line))
			}
			if err != nil {
				return
			}
		}
	}()
	return func() {
		os.Stdout, os.Stderr = stdout, stderr
		writing.Close()
		<-logged
	}
}
