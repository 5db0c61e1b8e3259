package main

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What was asked for, and how it went.
type counts struct {
	Requests, Batches, Parts                 int64 // HTTP requests to the API; batches among them; calls, plain or in batches
	Posts, Puts, Gets, Deletes, Patches      int64 // calls by method
	Written, Refused, InFlight, MostInFlight int64
	FirstNanos, LastNanos                    int64 // when the first request came, and when the last one was answered
}

var tally counts

func (c *counts) read() counts {
	return counts{
		atomic.LoadInt64(&c.Requests), atomic.LoadInt64(&c.Batches), atomic.LoadInt64(&c.Parts),
		atomic.LoadInt64(&c.Posts), atomic.LoadInt64(&c.Puts), atomic.LoadInt64(&c.Gets), atomic.LoadInt64(&c.Deletes),
		atomic.LoadInt64(&c.Patches), atomic.LoadInt64(&c.Written), atomic.LoadInt64(&c.Refused),
		atomic.LoadInt64(&c.InFlight), atomic.LoadInt64(&c.MostInFlight),
		atomic.LoadInt64(&c.FirstNanos), atomic.LoadInt64(&c.LastNanos),
	}
}

func (c *counts) forget() {
	for _, field := range []*int64{&c.Requests, &c.Batches, &c.Parts, &c.Posts, &c.Puts, &c.Gets, &c.Deletes, &c.Patches,
		&c.Written, &c.Refused, &c.MostInFlight, &c.FirstNanos, &c.LastNanos} {
		atomic.StoreInt64(field, 0)
	}
}

func (c *counts) begin(now time.Time) {
	atomic.AddInt64(&c.Requests, 1)
	atomic.CompareAndSwapInt64(&c.FirstNanos, 0, now.UnixNano())
	inFlight := atomic.AddInt64(&c.InFlight, 1)
	for most := atomic.LoadInt64(&c.MostInFlight); inFlight > most; most = atomic.LoadInt64(&c.MostInFlight) {
		if atomic.CompareAndSwapInt64(&c.MostInFlight, most, inFlight) {
			break
		}
	}
}

func (c *counts) end() {
	atomic.AddInt64(&c.InFlight, -1)
	atomic.StoreInt64(&c.LastNanos, time.Now().UnixNano())
}

func (c *counts) part(method string, answered *answer) {
	atomic.AddInt64(&c.Parts, 1)
	switch method {
	case "POST":
		atomic.AddInt64(&c.Posts, 1)
	case "PUT":
		atomic.AddInt64(&c.Puts, 1)
	case "GET":
		atomic.AddInt64(&c.Gets, 1)
	case "DELETE":
		atomic.AddInt64(&c.Deletes, 1)
	case "PATCH":
		atomic.AddInt64(&c.Patches, 1)
	}
	if answered.status >= 400 {
		atomic.AddInt64(&c.Refused, 1)
	} else if method != "GET" {
		atomic.AddInt64(&c.Written, 1)
	}
}

type answer struct {
	status int
	etag   string
	body   []byte
}

var buffers = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 4096)) }}

// One call by itself.
func plain(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	tally.begin(began)
	defer tally.end()
	read := buffers.Get().(*bytes.Buffer)
	read.Reset()
	defer buffers.Put(read)
	if _, err := io.Copy(read, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answered := call(r.Method, r.URL.EscapedPath(), r.Header.Get("If-Match"), read.Bytes(), began)
	tally.part(r.Method, answered)
	delay(began, 1)
	header := w.Header()
	if answered.etag != "" {
		header["Etag"] = []string{answered.etag}
	}
	if answered.status != http.StatusNoContent {
		header["Content-Type"] = []string{"application/json; charset=UTF-8"}
		header["Content-Length"] = []string{strconv.Itoa(len(answered.body))}
	}
	w.WriteHeader(answered.status)
	w.Write(answered.body)
}

const boundary = "batch_stand_in"

// Calls in one request, as google-api-python-client sends them: answered in their order, each under its Content-ID.
func batch(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	tally.begin(began)
	defer tally.end()
	atomic.AddInt64(&tally.Batches, 1)
	_, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || r.Method != "POST" {
		http.Error(w, "a batch is a POST of multipart/mixed", http.StatusBadRequest)
		return
	}
	parts := multipart.NewReader(r.Body, parameters["boundary"])
	var out bytes.Buffer
	asked := 0
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		text, err := io.ReadAll(part)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		method, target, headers, body := split(text)
		address, err := url.Parse(target)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		asked++
		answered := call(method, address.EscapedPath(), headers["if-match"], body, began)
		tally.part(method, answered)
		write(&out, part.Header.Get("Content-ID"), answered)
	}
	out.WriteString("--" + boundary + "--\r\n")
	delay(began, asked)
	w.Header().Set("Content-Type", "multipart/mixed; boundary="+boundary)
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	w.Write(out.Bytes())
}

// A request within a part: its line, its headers in lower case, its body. Lines may end in LF alone.
func split(text []byte) (method, target string, headers map[string]string, body []byte) {
	headers = map[string]string{}
	line, rest := cutLine(text)
	if words := strings.Fields(line); len(words) >= 2 {
		method, target = words[0], words[1]
	}
	for {
		line, rest = cutLine(rest)
		if line == "" {
			return method, target, headers, bytes.TrimSpace(rest)
		}
		if name, value, found := strings.Cut(line, ":"); found {
			headers[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
		}
	}
}

func cutLine(text []byte) (string, []byte) {
	line, rest, _ := bytes.Cut(text, []byte("\n"))
	return strings.TrimRight(string(line), "\r"), rest
}

func write(out *bytes.Buffer, id string, answered *answer) {
	out.WriteString("--" + boundary + "\r\nContent-Type: application/http\r\n")
	if id != "" {
		out.WriteString("Content-ID: <response-" + strings.TrimPrefix(id, "<") + "\r\n")
	}
	out.WriteString("\r\nHTTP/1.1 " + strconv.Itoa(answered.status) + " " + http.StatusText(answered.status) + "\r\n")
	if answered.etag != "" {
		out.WriteString("ETag: " + answered.etag + "\r\n")
	}
	// Google's Python client cannot read a part without any header, as a 204 would be.
	out.WriteString("Vary: Origin\r\n")
	if answered.status != http.StatusNoContent {
		out.WriteString("Content-Type: application/json; charset=UTF-8\r\nContent-Length: ")
		out.WriteString(strconv.Itoa(len(answered.body)) + "\r\n")
	}
	out.WriteString("\r\n")
	out.Write(answered.body)
	out.WriteString("\r\n")
}
