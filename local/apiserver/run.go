package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Start serves and returns as soon as a first write would succeed. What nobody waits for (default roles,
// priority classes, …) follows in the background. The server runs until ctx ends or Stop is called.
func (s *Server) Start(ctx context.Context) error {
	ctx, s.stop = context.WithCancel(ctx)
	prepared := s.front.GenericAPIServer.PrepareRun()
	s.loop.serve(s.front.GenericAPIServer.Handler)
	go s.serveKubelet(ctx)

	// The allocators must know what is taken before anybody can create a Service.
	problems, err := s.alloc.refill(ctx, s.client)
	if err != nil {
		s.stop()
		close(s.stopped)
		return fmt.Errorf("read what Services use: %w", err)
	}
	for _, p := range problems {
		s.log.Warn("a Service conflicts with the address ranges", "err", p)
	}

	go func() {
		defer close(s.stopped)
		s.runErr = prepared.RunWithContext(ctx)
	}()
	boot := bootstrap{client: s.client, cfg: s.cfg}
	err = s.admission.start(ctx, s.gate)
	if err == nil {
		err = boot.first(ctx)
	}
	if err != nil {
		s.stop()
		<-s.stopped
		return errors.Join(fmt.Errorf("start API server: %w", err), s.runErr)
	}
	s.later.Go(func() {
		if err := boot.later(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("creating the cluster's default objects failed", "err", err)
		}
	})
	s.later.Go(func() {
		services := s.front.APIRegistrationInformers.Apiregistration().V1().APIServices().Informer()
		if err := s.remote.run(ctx, services); err != nil && ctx.Err() == nil {
			s.log.Error("following the OpenAPI documents of extension API servers failed", "err", err)
		}
	})
	if s.cfg.Reachable.IsValid() {
		s.later.Go(func() {
			if err := boot.endpoints(ctx, s.cfg.Reachable); err != nil && ctx.Err() == nil {
				s.log.Error("publishing the API's endpoints failed", "err", err)
			}
		})
	}
	return nil
}

// Wait blocks until the server has stopped, for whatever reason, and says why if it was not asked to.
func (s *Server) Wait() error {
	<-s.stopped
	s.later.Wait()
	return s.runErr
}

// Stop ends the server and waits until it is gone. Requests under way are completed, watches are cut.
func (s *Server) Stop() error {
	if s.stop == nil {
		return nil
	}
	s.stop()
	s.reach.node.Close()
	return s.Wait()
}

// serveKubelet connects the in-memory listener with whatever handler SetKubelet has been given.
func (s *Server) serveKubelet(ctx context.Context) {
	srv := &http.Server{Handler: http.HandlerFunc(s.reach.serveKubelet)}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(s.reach.node); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		s.log.Error("serving the kubelet's API failed", "err", err)
	}
}

// WaitReady blocks until /readyz says ok: all that was stored is served, custom resources and APIServices included.
func (s *Server) WaitReady(ctx context.Context) error {
	for {
		if s.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil {
			return nil
		}
		select {
		case <-time.After(readyPoll):
		case <-s.stopped:
			return errors.Join(errors.New("the API server has stopped"), s.runErr)
		case <-ctx.Done():
			return fmt.Errorf("wait for the API server to be ready: %w", ctx.Err())
		}
	}
}

// readyPoll is a twentieth of what readiness itself is made of: hooks that poll every 100 ms.
const readyPoll = 5 * time.Millisecond
