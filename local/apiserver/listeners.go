package apiserver

import (
	"errors"
	"net"
	"sync"
)

// joinListeners accepts from all listeners as if they were one, whose address is that of the first.
func joinListeners(first net.Listener, more ...net.Listener) net.Listener {
	if len(more) == 0 {
		return first
	}
	j := &joinedListener{Listener: first, all: append([]net.Listener{first}, more...), accepted: make(chan accepted), closed: make(chan struct{})}
	for _, l := range j.all {
		go j.accept(l)
	}
	return j
}

type accepted struct {
	conn net.Conn
	err  error
}

type joinedListener struct {
	net.Listener
	all      []net.Listener
	accepted chan accepted
	once     sync.Once
	closed   chan struct{}
}

func (j *joinedListener) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		select {
		case j.accepted <- accepted{conn, err}:
		case <-j.closed:
			if conn != nil {
				conn.Close()
			}
			return
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func (j *joinedListener) Accept() (net.Conn, error) {
	select {
	case a := <-j.accepted:
		return a.conn, a.err
	case <-j.closed:
		return nil, net.ErrClosed
	}
}

func (j *joinedListener) Close() error {
	j.once.Do(func() { close(j.closed) })
	var errs []error
	for _, l := range j.all {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}
