package main

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// measurement is what some calls took, in milliseconds.
type measurement struct {
	// All of them.
	Total float64 `json:"total"`
	// The one in the middle.
	P50 float64 `json:"p50"`
}

func millis(duration time.Duration) float64 {
	return float64(duration.Nanoseconds()) / 1e6
}

// measure calls so often, with so many calls in flight. The first error ends it.
func measure(call func() error, count, inFlight int) (measurement, error) {
	times := make([]time.Duration, count)
	failures := make(chan error, inFlight)
	var next atomic.Int64
	var workers sync.WaitGroup
	began := time.Now()
	for range inFlight {
		workers.Go(func() {
			for index := next.Add(1) - 1; index < int64(count); index = next.Add(1) - 1 {
				called := time.Now()
				if err := call(); err != nil {
					failures <- err
					return
				}
				times[index] = time.Since(called)
			}
		})
	}
	workers.Wait()
	total := time.Since(began)
	select {
	case err := <-failures:
		return measurement{}, err
	default:
	}
	sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
	return measurement{Total: millis(total), P50: millis(times[count/2])}, nil
}
