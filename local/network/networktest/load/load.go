// Package load asks a URL over and over, on connections that are kept and on new ones, and counts what fails: what a
// rolling update must not lose.
package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"time"
)

// Options say what to ask and how.
type Options struct {
	URL  string
	Host string // Host header; the URL's when empty
	// Kept and Short are how many clients keep their connection and how many take a new one per request.
	Kept, Short int
	// Pause is how long a client rests between requests; zero asks as fast as it goes.
	Pause time.Duration
	// Dial replaces the dialler.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// A Result is what was counted.
type Result struct {
	Requests, Failed int
	Errors           map[string]int  // by text
	Failures         []string        // the first of them: when, on which connection, what
	Latency          []time.Duration // of successful requests, ascending
	Took             time.Duration
}

// Percentile is the latency that p of 100 requests did not exceed.
func (r Result) Percentile(p float64) time.Duration {
	if len(r.Latency) == 0 {
		return 0
	}
	return r.Latency[min(len(r.Latency)-1, int(p/100*float64(len(r.Latency))))]
}

// A Summary is a Result without each request's latency.
type Summary struct {
	Requests, Failed int
	PerSecond        float64
	P50, P99         time.Duration
	Errors           map[string]int
	Failures         []string
}

// Summary sums up.
func (r Result) Summary() Summary {
	return Summary{
		Requests: r.Requests, Failed: r.Failed, PerSecond: float64(r.Requests) / r.Took.Seconds(),
		P50: r.Percentile(50), P99: r.Percentile(99), Errors: r.Errors, Failures: r.Failures,
	}
}

// String is the result in one line.
func (r Result) String() string {
	s := fmt.Sprintf("%d requests, %d failed, %.0f/s, p50 %v, p99 %v", r.Requests, r.Failed,
		float64(r.Requests)/r.Took.Seconds(), r.Percentile(50), r.Percentile(99))
	for text, n := range r.Errors {
		s += fmt.Sprintf("\n\t%d × %s", n, text)
	}
	return s
}

// Run asks until ctx ends.
func Run(ctx context.Context, o Options) Result {
	begin := time.Now()
	results := make([]Result, o.Kept+o.Short)
	var clients sync.WaitGroup
	for i := range results {
		clients.Go(func() { results[i] = client(ctx, o, i < o.Kept) })
	}
	clients.Wait()
	return Merge(results, time.Since(begin))
}

// Merge is what several clients counted together.
func Merge(results []Result, took time.Duration) Result {
	total := Result{Errors: map[string]int{}, Took: took}
	for _, r := range results {
		total.Requests += r.Requests
		total.Failed += r.Failed
		total.Latency = append(total.Latency, r.Latency...)
		total.Failures = append(total.Failures, r.Failures...)
		for text, n := range r.Errors {
			total.Errors[text] += n
		}
	}
	slices.Sort(total.Latency)
	slices.Sort(total.Failures)
	total.Failures = total.Failures[:min(maxFailures, len(total.Failures))]
	return total
}

// maxFailures bounds what is told of failures one by one.
const maxFailures = 20

// requestTimeout counts a request that hangs as a failure.
const requestTimeout = 10 * time.Second

func client(ctx context.Context, o Options, kept bool) Result {
	transport := &http.Transport{
		DisableKeepAlives: !kept, MaxIdleConnsPerHost: 1, DialContext: o.Dial,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	defer transport.CloseIdleConnections()
	c := http.Client{Transport: transport, Timeout: requestTimeout}
	r := Result{Errors: map[string]int{}}
	for ctx.Err() == nil {
		begin := time.Now()
		conn, err := ask(&c, o)
		r.Requests++
		if err != nil {
			r.Failed++
			r.Errors[err.Error()]++
			if len(r.Failures) < maxFailures {
				now := time.Now()
				r.Failures = append(r.Failures, fmt.Sprintf("%s after %v on %s: %v", now.UTC().Format("15:04:05.000"), now.Sub(begin).Round(time.Millisecond), conn, err))
			}
		} else {
			r.Latency = append(r.Latency, time.Since(begin))
		}
		if o.Pause > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(o.Pause):
			}
		}
	}
	return r
}

// ask makes one request and says on what connection.
func ask(c *http.Client, o Options) (conn string, err error) {
	conn = "no connection"
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		conn = "a new connection from " + got.Conn.LocalAddr().String()
		if got.Reused {
			conn = "a kept connection from " + got.Conn.LocalAddr().String()
		}
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.URL, nil)
	if err != nil {
		return conn, err
	}
	req.Host = o.Host
	res, err := c.Do(req)
	if err != nil {
		return conn, err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return conn, err
	}
	if res.StatusCode != http.StatusOK {
		return conn, fmt.Errorf("status %d", res.StatusCode)
	}
	return conn, nil
}
