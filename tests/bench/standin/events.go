package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An event is kept as it was sent: parsing it is left to whoever asks for the state when everything is over.
type event struct {
	body        []byte
	etag        int64
	sequence    int
	cancelled   bool
	writes      int   // that took effect
	first, last int64 // nanoseconds of its first and last request
}

type calendar struct {
	sync.Mutex
	events map[string]*event
}

var (
	calendars sync.Map // id → *calendar
	etags     int64
)

func calendarOf(id string) *calendar {
	if found, ok := calendars.Load(id); ok {
		return found.(*calendar)
	}
	found, _ := calendars.LoadOrStore(id, &calendar{events: map[string]*event{}})
	return found.(*calendar)
}

func forgetEverything() {
	calendars.Range(func(id, _ any) bool {
		calendars.Delete(id)
		return true
	})
}

// What one call does. The path is escaped: ids may hold anything.
func call(method, path, ifMatch string, body []byte, now time.Time) *answer {
	words := strings.Split(strings.TrimPrefix(path, "/calendar/v3/"), "/")
	if len(words) < 3 || words[0] != "calendars" || words[2] != "events" || len(words) > 4 {
		return refuse(http.StatusNotFound, "notFound")
	}
	calendarID, err := url.PathUnescape(words[1])
	if err != nil {
		return refuse(http.StatusNotFound, "notFound")
	}
	c := calendarOf(calendarID)
	c.Lock()
	defer c.Unlock()
	if len(words) == 3 {
		switch method {
		case "POST":
			return insert(c, body, now)
		case "GET":
			return &answer{http.StatusOK, "", []byte(`{"kind":"calendar#events","accessRole":"owner","items":[]}`)}
		}
		return refuse(http.StatusMethodNotAllowed, "httpMethodNotAllowed")
	}
	found := c.events[words[3]]
	if found == nil {
		return refuse(http.StatusNotFound, "notFound")
	}
	found.last = now.UnixNano()
	if method != "GET" && ifMatch != "" && ifMatch != "*" && ifMatch != quoted(found.etag) {
		return refuse(http.StatusPreconditionFailed, "conditionNotMet")
	}
	switch method {
	case "GET":
		return shown(words[3], found)
	case "PUT":
		found.body = append(found.body[:0], body...)
		found.cancelled = false
		found.sequence++
	case "DELETE":
		if found.cancelled {
			return refuse(http.StatusGone, "deleted")
		}
		found.cancelled = true
	default:
		return refuse(http.StatusMethodNotAllowed, "httpMethodNotAllowed")
	}
	found.writes++
	found.etag = atomic.AddInt64(&etags, 1)
	if method == "DELETE" {
		return &answer{http.StatusNoContent, "", nil}
	}
	return shown(words[3], found)
}

func insert(c *calendar, body []byte, now time.Time) *answer {
	id := word(body, `"id"`)
	if id == "" {
		return refuse(http.StatusBadRequest, "required")
	}
	if taken := c.events[id]; taken != nil {
		taken.last = now.UnixNano()
		return refuse(http.StatusConflict, "duplicate")
	}
	at := now.UnixNano()
	made := &event{append([]byte(nil), body...), atomic.AddInt64(&etags, 1), 0, false, 1, at, at}
	c.events[id] = made
	return shown(id, made)
}

func quoted(etag int64) string { return `"` + strconv.FormatInt(etag, 10) + `"` }

// What Google adds goes in front; of a name that is there twice the last one counts, and that is the body's.
func shown(id string, e *event) *answer {
	number := strconv.FormatInt(e.etag, 10)
	out := make([]byte, 0, len(e.body)+320)
	out = append(out, `{"kind":"calendar#event","etag":"\"`+number+`\"","id":"`+id+`","htmlLink":"https://www.google.com/`+
		`calendar/event?eid=`+id+`","created":"2026-11-23T08:00:00.000Z","updated":"2026-11-23T08:00:00.000Z","iCalUID":"`+
		id+`@google.com","eventType":"default","sequence":`...)
	out = strconv.AppendInt(out, int64(e.sequence), 10)
	out = append(out, ',')
	out = append(out, e.body[bytes.IndexByte(e.body, '{')+1:]...)
	if e.cancelled {
		out = append(bytes.TrimSuffix(bytes.TrimRight(out, " \r\n"), []byte("}")), `,"status":"cancelled"}`...)
	}
	return &answer{http.StatusOK, quoted(e.etag), out}
}

func refuse(status int, reason string) *answer {
	body := fmt.Sprintf(`{"error":{"code":%d,"message":"%s","errors":[{"domain":"global","reason":"%s","message":"%s"}]}}`,
		status, reason, reason, reason)
	return &answer{status, "", []byte(body)}
}

// The string after the first such key, read without parsing the rest; "" if there is none.
func word(body []byte, key string) string {
	at := bytes.Index(body, []byte(key))
	if at < 0 {
		return ""
	}
	rest := bytes.TrimLeft(body[at+len(key):], " :")
	if len(rest) == 0 || rest[0] != '"' {
		return ""
	}
	end := bytes.IndexByte(rest[1:], '"')
	if end < 0 {
		return ""
	}
	return string(rest[1 : 1+end])
}

func jobOf(body []byte) string { return word(body, `"calendarSyncJob"`) }

func eachEvent(tell func(calendarID, eventID string, e *event)) {
	calendars.Range(func(id, found any) bool {
		c := found.(*calendar)
		c.Lock()
		defer c.Unlock()
		for eventID, e := range c.events {
			tell(id.(string), eventID, e)
		}
		return true
	})
}

type shownEvent struct {
	Job      string          `json:"job"`
	Summary  string          `json:"summary"`
	Start    json.RawMessage `json:"start"`
	Etag     string          `json:"etag"`
	Sequence int             `json:"sequence"`
	Status   string          `json:"status"`
	Writes   int             `json:"writes"`
}

func state(w http.ResponseWriter, _ *http.Request) {
	all := map[string]map[string]shownEvent{}
	eachEvent(func(calendarID, eventID string, e *event) {
		if all[calendarID] == nil {
			all[calendarID] = map[string]shownEvent{}
		}
		var read struct {
			Summary string          `json:"summary"`
			Start   json.RawMessage `json:"start"`
			Status  string          `json:"status"`
		}
		if err := json.Unmarshal(e.body, &read); err != nil {
			read.Status = "unreadable: " + err.Error()
		}
		if e.cancelled {
			read.Status = "cancelled"
		}
		all[calendarID][eventID] = shownEvent{
			jobOf(e.body), read.Summary, read.Start, quoted(e.etag), e.sequence, read.Status, e.writes,
		}
	})
	json.NewEncoder(w).Encode(all)
}
