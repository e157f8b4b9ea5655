package hello

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// idleTimeout closes a keep-alive connection on which nothing was asked; chosen, long enough for a browser tab.
const idleTimeout = 2 * time.Minute

// maxHeader bounds a request's head; chosen, what common servers allow.
const maxHeader = 16 << 10

type response struct {
	status, contentType, body string
}

// server speaks as much HTTP/1.1 as a demo needs: keep-alive, HEAD, pipelining, an orderly stop. net/http would double
// the size of a binary that every pod's pause container runs.
type server struct {
	handle func(path string) response
	log    io.Writer

	mu       sync.Mutex
	conns    map[net.Conn]bool // by connection: whether a request is, or is about to be, answered; guarded by mu
	stopping bool              // guarded by mu
	done     sync.WaitGroup
}

// lameDuck is how long connections are taken after the end was announced: those that were on their way.
const lameDuck = 250 * time.Millisecond

// serve accepts until ctx ends, then lets open requests finish for at most drain; with none it is gone at once.
func (s *server) serve(ctx context.Context, listener *net.TCPListener, drain time.Duration) error {
	s.conns = map[net.Conn]bool{}
	defer listener.Close()
	stop := context.AfterFunc(ctx, func() { listener.SetDeadline(time.Now().Add(min(lameDuck, drain))) })
	defer stop()
	for {
		conn, err := listener.Accept()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.shutdown(drain)
			return nil
		}
		if err != nil {
			return err
		}
		s.done.Add(1)
		go s.serveConn(conn)
	}
}

func (s *server) shutdown(drain time.Duration) {
	s.mu.Lock()
	s.stopping = true
	for conn, busy := range s.conns {
		if !busy {
			conn.Close()
		}
	}
	s.mu.Unlock()
	finished := make(chan struct{})
	go func() { s.done.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-time.After(drain):
	}
}

// mark records that conn is between requests (busy false) or answering one, and reports whether it may go on.
func (s *server) mark(conn net.Conn, busy bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping && !busy {
		return false
	}
	s.conns[conn] = busy
	return true
}

func (s *server) serveConn(conn net.Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
		conn.Close()
		s.done.Done()
	}()
	reader := bufio.NewReaderSize(conn, maxHeader)
	// A connection is made in order to ask something: one that is new is not idle.
	for fresh := true; s.mark(conn, fresh); fresh = false {
		conn.SetDeadline(time.Now().Add(idleTimeout))
		if _, err := reader.Peek(1); err != nil {
			return
		}
		s.mark(conn, true)
		req, err := readRequest(reader)
		if err != nil {
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			return
		}
		res := s.handle(req.path)
		if !s.write(conn, req, res) {
			return
		}
		fmt.Fprintf(s.log, "%s %s %s %s\n", conn.RemoteAddr(), req.method, req.path, res.status)
	}
}

// write sends the answer and reports whether the connection stays open for another request.
func (s *server) write(conn net.Conn, req request, res response) bool {
	s.mu.Lock()
	keep := req.keepAlive && !s.stopping
	s.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nCache-Control: no-store\r\nDate: %s\r\n",
		res.status, res.contentType, len(res.body), time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
	if !keep {
		b.WriteString("Connection: close\r\n")
	} else if req.http10 {
		b.WriteString("Connection: keep-alive\r\n")
	}
	b.WriteString("\r\n")
	if req.method != "HEAD" {
		b.WriteString(res.body)
	}
	_, err := io.WriteString(conn, b.String())
	return err == nil && keep
}

type request struct {
	method, path      string
	keepAlive, http10 bool
}

// readRequest reads one request with its body, which no path of the demo looks at.
func readRequest(r *bufio.Reader) (request, error) {
	line, err := readLine(r)
	if err != nil {
		return request{}, err
	}
	method, rest, ok := strings.Cut(line, " ")
	target, proto, ok2 := strings.Cut(rest, " ")
	if !ok || !ok2 || !strings.HasPrefix(proto, "HTTP/1.") || !strings.HasPrefix(target, "/") {
		return request{}, fmt.Errorf("malformed request line %q", line)
	}
	path, _, _ := strings.Cut(target, "?")
	req := request{method: method, path: path, http10: proto == "HTTP/1.0", keepAlive: proto != "HTTP/1.0"}
	length, total := int64(0), len(line)
	for {
		header, err := readLine(r)
		if err != nil {
			return request{}, err
		}
		if header == "" {
			break
		}
		if total += len(header); total > maxHeader {
			return request{}, fmt.Errorf("request head over %d bytes", maxHeader)
		}
		name, value, _ := strings.Cut(header, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "connection":
			switch strings.ToLower(value) {
			case "close":
				req.keepAlive = false
			case "keep-alive":
				req.keepAlive = true
			}
		case "content-length":
			if length, err = strconv.ParseInt(value, 10, 64); err != nil || length < 0 {
				return request{}, fmt.Errorf("malformed Content-Length %q", value)
			}
		case "transfer-encoding", "expect":
			// The body is not worth decoding: answer, and let the connection go.
			req.keepAlive = false
		}
	}
	if _, err := io.CopyN(io.Discard, r, length); err != nil {
		return request{}, err
	}
	return req, nil
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}
