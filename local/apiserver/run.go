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
	asked, stop := context.WithCancel(ctx)
	run, end := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	prepared := s.front.GenericAPIServer.PrepareRun()
	s.loop.serve(s.front.GenericAPIServer.Handler)

	// The allocators must know what is taken before anybody can create a Service.
	problems, err := s.alloc.refill(run, s.client)
	if err != nil {
		stop()
		end()
		close(s.stopped)
		return fmt.Errorf("read what Services use: %w", err)
	}
	for _, p := range problems {
		s.log.Warn("a Service conflicts with the address ranges", "err", p)
	}

	go func() {
		defer close(s.stopped)
		defer stop()
		s.runErr = prepared.RunWithContext(run)
	}()
	go func() {
		<-asked.Done()
		s.awaitFatalHook(run)
		end()
	}()
	go s.serveKubelet(run)
	boot := bootstrap{client: s.client, cfg: s.cfg}
	if err = s.admission.start(run, s.gate); err == nil {
		err = boot.first(run)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("start API server: %w", err), s.Stop())
	}
	s.background(run, "create the cluster's default objects", boot.later)
	s.background(run, "follow the documents of extension API servers", func(ctx context.Context) error {
		return s.remote.run(ctx, s.front.APIRegistrationInformers.Apiregistration().V1().APIServices().Informer())
	})
	if s.cfg.Reachable.IsValid() {
		s.background(run, "publish the API's endpoints", func(ctx context.Context) error { return boot.endpoints(ctx, s.cfg.Reachable) })
	}
	return nil
}

// background does something that Wait waits for and that may fail without harm to the rest.
func (s *Server) background(ctx context.Context, what string, f func(context.Context) error) {
	s.later.Go(func() {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("could not "+what, "err", err)
		}
	})
}

// awaitFatalHook waits until the one start-up hook is over that ends the process when it is cancelled. It takes
// a moment after a start and is over for ever.
func (s *Server) awaitFatalHook(run context.Context) {
	ctx, cancel := context.WithTimeout(run, fatalHookTimeout)
	defer cancel()
	for s.client.Discovery().RESTClient().Get().AbsPath("/livez/poststarthook/crd-informer-synced").Do(ctx).Error() != nil {
		select {
		case <-time.After(readyPoll):
		case <-ctx.Done():
			return
		}
	}
}

// fatalHookTimeout is far more than the hook needs on a store that answers; chosen.
const fatalHookTimeout = 10 * time.Second

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
	return s.Wait()
}

// serveKubelet connects the in-memory listener with whatever handler SetKubelet has been given.
func (s *Server) serveKubelet(ctx context.Context) {
	srv := &http.Server{Handler: http.HandlerFunc(s.reach.serveKubelet)}
	stop := context.AfterFunc(ctx, func() {
		srv.Close()
		s.reach.node.Close()
	})
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
