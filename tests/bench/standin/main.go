// A stand-in for Google that is never what a benchmark measures: the calls of the Calendar API that our daemon makes,
// and the batch endpoint, over state in memory. It knows no users, quotas or faults: the sandbox does.
//
//	standin serve              listens on PORT (a free one if unset) of the loopback and prints the port
//	standin drive URL [flags]  a bare client, to see what the stand-in can do; see drive.go
//
// Control: POST /set?ms=50&part_ms=0   every HTTP request takes so long, and so much more for each call in it
//
//	POST /reset (everything), POST /forget (the counts), GET /count, GET /state, GET /log
//	GET /wait?writes=N&seconds=S answers when so many events were written, or after that time
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

var requestNanos, partNanos int64

// What each HTTP request takes, however fast we are; the effect is there at its beginning, as with Google.
func delay(began time.Time, parts int) {
	wanted := time.Duration(atomic.LoadInt64(&requestNanos) + atomic.LoadInt64(&partNanos)*int64(parts))
	if left := wanted - time.Since(began); wanted > 0 && left > 0 {
		time.Sleep(left)
	}
}

func set(w http.ResponseWriter, r *http.Request) {
	for name, target := range map[string]*int64{"ms": &requestNanos, "part_ms": &partNanos} {
		if text := r.FormValue(name); text != "" {
			ms, err := strconv.ParseFloat(text, 64)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			atomic.StoreInt64(target, int64(ms*1e6))
		}
	}
	fmt.Fprint(w, "{}")
}

func wait(w http.ResponseWriter, r *http.Request) {
	writes, _ := strconv.ParseInt(r.FormValue("writes"), 10, 64)
	seconds, _ := strconv.ParseFloat(r.FormValue("seconds"), 64)
	deadline := time.Now().Add(time.Duration(seconds * 1e9))
	for atomic.LoadInt64(&tally.Written) < writes && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	count(w, r)
}

func count(w http.ResponseWriter, _ *http.Request) {
	json.NewEncoder(w).Encode(tally.read())
}

func reset(w http.ResponseWriter, _ *http.Request) {
	forgetEverything()
	tally.forget()
	fmt.Fprint(w, "{}")
}

// One line for each event that was ever asked for: nanoseconds of the first and the last arrival, writes, calendar, job.
func arrivals(w http.ResponseWriter, _ *http.Request) {
	out := bufio.NewWriter(w)
	defer out.Flush()
	eachEvent(func(calendar, _ string, e *event) {
		fmt.Fprintf(out, "%d\t%d\t%d\t%s\t%s\n", e.first, e.last, e.writes, calendar, jobOf(e.body))
	})
}

func token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":"ya29.%d","expires_in":3599,"token_type":"Bearer","scope":"%s"}`,
		time.Now().UnixNano(), "https://www.googleapis.com/auth/calendar.events")
}

func serve() error {
	mux := http.NewServeMux()
	mux.HandleFunc("/calendar/v3/", plain)
	mux.HandleFunc("/batch/calendar/v3", batch)
	mux.HandleFunc("/token", token)
	mux.HandleFunc("/revoke", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
	mux.HandleFunc("/set", set)
	mux.HandleFunc("/reset", reset)
	mux.HandleFunc("/forget", func(w http.ResponseWriter, _ *http.Request) { tally.forget() })
	mux.HandleFunc("/count", count)
	mux.HandleFunc("/wait", wait)
	mux.HandleFunc("/state", state)
	mux.HandleFunc("/log", arrivals)
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	return http.Serve(listener, mux)
}

func main() {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "serve":
		err = serve()
	case len(os.Args) > 2 && os.Args[1] == "drive":
		err = drive(os.Args[2], os.Args[3:])
	default:
		err = fmt.Errorf("standin serve | standin drive URL [-n 20000] [-c 32] [-batch 0]")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
