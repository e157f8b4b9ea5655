package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"skiff.local/skiff/local/network/networktest/load"
)

// throughput ADDR SECONDS: Mbit/s into a port that swallows.
func throughput(args []string) error {
	seconds, err := strconv.ParseFloat(args[1], 64)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp4", args[0])
	if err != nil {
		return err
	}
	buf := make([]byte, 256<<10)
	begin, sent := time.Now(), 0
	for time.Since(begin).Seconds() < seconds {
		n, err := conn.Write(buf)
		if err != nil {
			return err
		}
		sent += n
	}
	fmt.Printf("%.0f\n", float64(sent)*8/1e6/time.Since(begin).Seconds())
	return nil
}

// latency ADDR N: microseconds of the median round trip on one connection.
func latency(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp4", args[0])
	if err != nil {
		return err
	}
	buf := []byte{0}
	took := make([]time.Duration, n)
	for i := range took {
		begin := time.Now()
		if _, err := conn.Write(buf); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			return err
		}
		took[i] = time.Since(begin)
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	fmt.Printf("%.1f\n", float64(took[n/2].Nanoseconds())/1000)
	return nil
}

// connects ADDR N: microseconds of the median time to make a connection.
func connects(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	took := make([]time.Duration, n)
	for i := range took {
		begin := time.Now()
		conn, err := net.Dial("tcp4", args[0])
		if err != nil {
			return err
		}
		took[i] = time.Since(begin)
		conn.Close()
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	fmt.Printf("%.1f\n", float64(took[n/2].Nanoseconds())/1000)
	return nil
}

// nameserver prints the first server of /etc/resolv.conf.
func nameserver([]string) error {
	raw, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			fmt.Println(f[1])
			return nil
		}
	}
	return errors.New("/etc/resolv.conf names no server")
}

// load URL KEPT SHORT DURATION [PAUSE]: asks for that long and prints a load.Summary.
func askFor(args []string) error {
	o := load.Options{URL: args[0]}
	var err error
	if o.Kept, err = strconv.Atoi(args[1]); err != nil {
		return err
	}
	if o.Short, err = strconv.Atoi(args[2]); err != nil {
		return err
	}
	d, err := time.ParseDuration(args[3])
	if err != nil {
		return err
	}
	if len(args) > 4 {
		if o.Pause, err = time.ParseDuration(args[4]); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return json.NewEncoder(os.Stdout).Encode(load.Run(ctx, o).Summary())
}

// dns SERVER NAME CLIENTS DURATION: so many clients ask for a name's address, each as soon as it was answered, and a
// load.Summary is printed. An answer without an address is a failure.
func queries(args []string) error {
	clients, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(args[3])
	if err != nil {
		return err
	}
	question, err := addressQuestion(args[1])
	if err != nil {
		return err
	}
	begin := time.Now()
	results := make([]load.Result, clients)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() { results[i] = queryUntil(begin.Add(d), args[0], question) })
	}
	all.Wait()
	return json.NewEncoder(os.Stdout).Encode(load.Merge(results, time.Since(begin)).Summary())
}

func addressQuestion(name string) ([]byte, error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, err
	}
	message := dnsmessage.Message{
		Header:    dnsmessage.Header{RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	return message.Pack()
}

func queryUntil(end time.Time, server string, question []byte) load.Result {
	r := load.Result{Errors: map[string]int{}}
	conn, err := net.Dial("udp4", server)
	if err != nil {
		r.Requests, r.Failed = 1, 1
		r.Errors[err.Error()]++
		return r
	}
	defer conn.Close()
	question = append([]byte(nil), question...)
	buf := make([]byte, 4096)
	for id := uint16(1); time.Now().Before(end); id++ {
		question[0], question[1] = byte(id>>8), byte(id)
		begin := time.Now()
		conn.SetDeadline(begin.Add(2 * time.Second))
		_, err := conn.Write(question)
		n := 0
		for err == nil && (n < 12 || buf[0] != question[0] || buf[1] != question[1]) {
			n, err = conn.Read(buf) // an answer that comes after its deadline is skipped
		}
		if err == nil && (buf[3]&0xf != 0 || buf[6] == 0 && buf[7] == 0) {
			err = fmt.Errorf("no address, code %d", buf[3]&0xf)
		}
		r.Requests++
		if err != nil {
			r.Failed++
			r.Errors[err.Error()]++
			continue
		}
		r.Latency = append(r.Latency, time.Since(begin))
	}
	return r
}

// outage ADDR DURATION: tries to connect every few milliseconds, and prints the longest time during which that did not
// work, in milliseconds. A connection that is not made within 50 ms counts as not working, so that the kernel's own
// second until it sends again does not count.
func outage(args []string) error {
	d, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	begin := time.Now()
	last, longest := begin, time.Duration(0)
	for time.Since(begin) < d {
		conn, err := net.DialTimeout("tcp4", args[0], 50*time.Millisecond)
		if err != nil {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		conn.Close()
		longest = max(longest, time.Since(last))
		last = time.Now()
		time.Sleep(5 * time.Millisecond)
	}
	fmt.Println(max(longest, time.Since(last)).Milliseconds())
	return nil
}
