// Command probe is what containers of network tests run: a server to be reached, and the client that reaches it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("usage: probe serve | get | connect | resolve | udp | api | throughput | latency | load | dns | outage | connects | nameserver | sctp | reset"))
	}
	commands := map[string]func(args []string) error{
		"serve": serve, "get": get, "connect": connect, "resolve": resolve, "udp": udp,
		"throughput": throughput, "latency": latency, "api": api, "load": askFor, "dns": queries, "outage": outage,
		"connects": connects, "nameserver": nameserver, "sctp": sctp, "reset": reset,
	}
	run, ok := commands[os.Args[1]]
	if !ok {
		fail(fmt.Errorf("no command %q", os.Args[1]))
	}
	if err := run(os.Args[2:]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Println("error:", err)
	os.Exit(1)
}

// serve answers HTTP on 8080 with the host's name, echoes UDP on 9090 and TCP on 9091, and swallows TCP on 9092. It
// takes up SCTP on 9093 where it may, and on 9094 says its name and resets the connection at the first byte.
func serve([]string) error {
	name, _ := os.Hostname()
	go answerSCTP()
	packets, err := net.ListenPacket("udp4", ":9090")
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			packets.WriteTo(append([]byte(name+" "), buf[:n]...), from)
		}
	}()
	for port, handle := range map[string]func(net.Conn){
		":9091": func(c net.Conn) { io.Copy(c, c) },
		":9092": func(c net.Conn) { io.Copy(io.Discard, c) },
		":9094": func(c net.Conn) {
			io.WriteString(c, name)
			io.ReadFull(c, make([]byte, 1))
			c.(*net.TCPConn).SetLinger(0)
		},
	} {
		l, err := net.Listen("tcp4", port)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { defer c.Close(); handle(c) }()
			}
		}()
	}
	server := &http.Server{Addr: ":8080", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s from %s\n", name, r.RemoteAddr)
	})}
	// As a server should, it answers what it has accepted before it ends.
	stop, end := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer end()
	ended := make(chan error, 1)
	context.AfterFunc(stop, func() { ended <- server.Shutdown(context.Background()) })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

func get(args []string) error {
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Get(args[0])
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(os.Stdout, res.Body)
	return err
}

// connect ADDR [FROM]: how a connection attempt ends: open, refused or what else, and after how many milliseconds.
func connect(args []string) error {
	dialer := net.Dialer{Timeout: 800 * time.Millisecond}
	if len(args) > 1 {
		from, err := net.ResolveTCPAddr("tcp4", args[1])
		if err != nil {
			return err
		}
		dialer.LocalAddr = from
	}
	begin := time.Now()
	conn, err := dialer.Dial("tcp4", args[0])
	took := time.Since(begin)
	switch {
	case err == nil:
		conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
		_, err := conn.Read(make([]byte, 1))
		if errors.Is(err, syscall.ECONNRESET) {
			fmt.Println("reset")
			return nil
		}
		fmt.Printf("open %dms\n", took.Milliseconds())
	case errors.Is(err, syscall.ECONNREFUSED):
		fmt.Printf("refused %dms\n", took.Milliseconds())
	default:
		return err
	}
	return nil
}

// reset ADDR FROM: who is at a port that resets connections, asked from the same port every time.
func reset(args []string) error {
	from, err := net.ResolveTCPAddr("tcp4", args[1])
	if err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: 3 * time.Second, LocalAddr: from}
	conn, err := dialer.Dial("tcp4", args[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(3 * time.Second))
	name := make([]byte, 100)
	n, err := conn.Read(name)
	if err != nil {
		return err
	}
	conn.Write([]byte{0})
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("not reset but: %v", err)
	}
	fmt.Println(string(name[:n]))
	return nil
}

// resolve NAME TYPE SERVER: the answer's data, sorted.
func resolve(args []string) error {
	name, qtype, server := args[0], args[1], args[2]
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		if len(args) > 3 {
			network = args[3]
		}
		return d.DialContext(ctx, network, net.JoinHostPort(server, "53"))
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var lines []string
	var err error
	switch qtype {
	case "A":
		lines, err = r.LookupHost(ctx, name)
	case "CNAME":
		var cname string
		cname, err = r.LookupCNAME(ctx, name)
		lines = []string{cname}
	case "PTR":
		lines, err = r.LookupAddr(ctx, name)
	case "SRV":
		var found []*net.SRV
		_, found, err = r.LookupSRV(ctx, "", "", name)
		for _, s := range found {
			lines = append(lines, s.Target+":"+strconv.Itoa(int(s.Port)))
		}
	}
	if err != nil {
		var d *net.DNSError
		if errors.As(err, &d) && d.IsNotFound {
			fmt.Println("not found")
			return nil
		}
		return err
	}
	sort.Strings(lines)
	fmt.Println(strings.Join(lines, " "))
	return nil
}

// udp ADDR TEXT [FROM]: what comes back for a packet, sent from a port of its own or the one that is named.
func udp(args []string) error {
	var dialer net.Dialer
	if len(args) > 2 {
		from, err := net.ResolveUDPAddr("udp4", args[2])
		if err != nil {
			return err
		}
		dialer.LocalAddr = from
	}
	conn, err := dialer.Dial("udp4", args[0])
	if err != nil {
		return err
	}
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := conn.Write([]byte(args[1])); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	n, err := conn.Read(buf)
	if errors.Is(err, syscall.ECONNREFUSED) {
		fmt.Println("refused")
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Println(string(buf[:n]))
	return nil
}

// api ADDR: what a server that speaks first says.
func api(args []string) error {
	conn, err := net.DialTimeout("tcp4", args[0], 3*time.Second)
	if err != nil {
		return err
	}
	conn.SetDeadline(time.Now().Add(3 * time.Second))
	_, err = io.Copy(os.Stdout, conn)
	return err
}
