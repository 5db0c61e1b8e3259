package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A bare client over kept-open connections, each with one request under way: inserts of usual events, plain or in
// batches. What it prints is the ceiling of anything measured against this stand-in on this machine.
func drive(target string, arguments []string) error {
	flags := flag.NewFlagSet("drive", flag.ContinueOnError)
	calls := flags.Int("n", 20000, "calls in all")
	connections := flags.Int("c", 32, "connections")
	size := flags.Int("batch", 0, "calls in one request; 0 for plain requests")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	address, err := url.Parse(target)
	if err != nil {
		return err
	}
	var next, requests int64
	var failed error
	var once sync.Once
	var all sync.WaitGroup
	began := time.Now()
	for i := 0; i < *connections; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			if err := driveOne(address.Host, &next, int64(*calls), *size, &requests); err != nil {
				once.Do(func() { failed = err })
			}
		}()
	}
	all.Wait()
	if failed != nil {
		return failed
	}
	seconds := time.Since(began).Seconds()
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	cpu := float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"calls": *calls, "requests": requests, "seconds": seconds, "calls_s": float64(*calls) / seconds,
		"cpu_ms_per_call": cpu * 1000 / float64(*calls),
	})
}

func driveOne(host string, next *int64, calls int64, size int, requests *int64) error {
	connection, err := net.Dial("tcp", host)
	if err != nil {
		return err
	}
	defer connection.Close()
	answers := bufio.NewReader(connection)
	var out strings.Builder
	for {
		out.Reset()
		if size == 0 {
			number := atomic.AddInt64(next, 1)
			if number > calls {
				return nil
			}
			body := usualEvent(number)
			fmt.Fprintf(&out, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
				eventsOf(number), host, len(body), body)
		} else {
			last := atomic.AddInt64(next, int64(size))
			var parts strings.Builder
			for number := last - int64(size) + 1; number <= last && number <= calls; number++ {
				fmt.Fprintf(&parts, "--b\r\nContent-Type: application/http\r\nContent-ID: <%d>\r\n\r\nPOST %s HTTP/1.1\r\n"+
					"Content-Type: application/json\r\n\r\n%s\r\n", number, eventsOf(number), usualEvent(number))
			}
			if parts.Len() == 0 {
				return nil
			}
			parts.WriteString("--b--\r\n")
			fmt.Fprintf(&out, "POST /batch/calendar/v3 HTTP/1.1\r\nHost: %s\r\nContent-Type: multipart/mixed; boundary=b\r\n"+
				"Content-Length: %d\r\n\r\n%s", host, parts.Len(), parts.String())
		}
		if _, err := io.WriteString(connection, out.String()); err != nil {
			return err
		}
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("answered %s", response.Status)
		}
		atomic.AddInt64(requests, 1)
	}
}

func eventsOf(number int64) string {
	return fmt.Sprintf("/calendar/v3/calendars/bare-%d%%40example.com/events?sendUpdates=none&prettyPrint=false", number%200)
}

func usualEvent(number int64) string {
	return fmt.Sprintf(`{"id": "bare%08d", "status": "confirmed", "summary": "B-%d · Dallas → Memphis", "description": "%s", `+
		`"location": "1201 Main St, Dallas", "start": {"dateTime": "2027-03-01T08:00:00-06:00", "timeZone": "America/Chicago"}, `+
		`"end": {"dateTime": "2027-03-01T18:00:00-06:00", "timeZone": "America/Chicago"}, "extendedProperties": {"private": `+
		`{"calendarSync": "1", "calendarSyncTenant": "0123456789abcdef", "calendarSyncJob": "job_%d"}}}`,
		number, number, strings.Repeat("x", 300), number)
}
