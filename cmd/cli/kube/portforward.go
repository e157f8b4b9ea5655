package kube

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	toolsportforward "k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/kubectl/pkg/cmd/portforward"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/polymorphichelpers"
	"k8s.io/kubectl/pkg/scheme"
	"k8s.io/kubectl/pkg/util/podutils"
	"k8s.io/kubectl/pkg/util/templates"
)

// portForward is kubectl's port-forward, except that it goes on when the pod behind it is replaced: its local ports stay
// open, and the next connection goes to the pod that is there by then.
func portForward(f factory, s streams) *cobra.Command {
	c := portforward.NewCmdPortForward(f, s)
	c.Short = "Forward local ports to a pod, and to the one that replaces it"
	c.Long = templates.LongDesc(`
		Forward one or more local ports to a pod.

		Use resource type/name such as deployment/mydeployment to select a pod. Resource type defaults to 'pod' if omitted.

		If there are multiple pods matching the criteria, a pod will be selected automatically. When that pod ends, the
		local ports stay open and the next connection goes to another pod, or to the next pod of that name.`)
	c.Run = func(c *cobra.Command, args []string) {
		opts := portforward.NewDefaultPortForwardOptions(s)
		var err error
		opts.Address, err = c.Flags().GetStringSlice("address")
		cmdutil.CheckErr(err)
		timeout, err := cmdutil.GetPodRunningTimeoutFlag(c)
		cmdutil.CheckErr(err)
		cmdutil.CheckErr(opts.Complete(f, c, args))
		cmdutil.CheckErr(opts.Validate())
		opts.PortForwarder = &steadyForwarder{factory: f, streams: s, object: args[0], timeout: timeout}
		cmdutil.CheckErr(opts.RunPortForwardContext(c.Context()))
	}
	return c
}

// A steadyForwarder forwards to whichever pod stands for an object.
type steadyForwarder struct {
	factory factory
	streams streams
	object  string        // as the user named it: TYPE/NAME, or a pod's name
	timeout time.Duration // how long a connection waits for a pod
}

// ForwardPorts forwards until the user has enough of it. The URL that kubectl made is for its first pod alone.
func (f *steadyForwarder) ForwardPorts(_ string, _ *url.URL, opts portforward.PortForwardOptions) error {
	c := &steadyConn{forwarder: f, opts: opts, requests: map[string]httpstream.Connection{}, streams: map[httpstream.Stream]httpstream.Connection{}, never: make(chan bool)}
	fw, err := toolsportforward.NewOnAddresses(c, opts.Address, opts.Ports, opts.StopChannel, opts.ReadyChannel, f.streams.Out, f.streams.ErrOut)
	if err != nil {
		return err
	}
	return fw.ForwardPorts()
}

// settling is how long a pod that is not ready is no choice: the one that replaces another listens when it is ready.
// Chosen; a pod that never gets ready can be forwarded to all the same, as with kubectl.
const settling = 3 * time.Second

// pick returns the best pod of the object: one that is ready, or one that runs when there is none for a while.
func (f *steadyForwarder) pick(ctx context.Context, opts portforward.PortForwardOptions) (*corev1.Pod, error) {
	begin := time.Now()
	told := false
	for {
		pods, err := f.pods(ctx, opts)
		var running *corev1.Pod
		for i := range pods {
			switch pod := &pods[i]; {
			case !usable(pod):
			case podutils.IsPodReady(pod):
				return pod, nil
			default:
				running = pod
			}
		}
		if running != nil && time.Since(begin) > settling {
			return running, nil
		}
		if time.Since(begin) > f.timeout {
			if err == nil {
				err = fmt.Errorf("no pod of %s runs", f.object)
			}
			return nil, err
		}
		if !told {
			fmt.Fprintf(f.streams.ErrOut, "Waiting for a pod of %s\n", f.object)
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// pods lists the pods that the object stands for.
func (f *steadyForwarder) pods(ctx context.Context, opts portforward.PortForwardOptions) ([]corev1.Pod, error) {
	object, err := f.factory.NewBuilder().WithScheme(scheme.Scheme, scheme.Scheme.PrioritizedVersionsAllGroups()...).
		NamespaceParam(opts.Namespace).DefaultNamespace().ResourceNames("pods", f.object).Do().Object()
	if err != nil {
		return nil, err
	}
	if pod, ok := object.(*corev1.Pod); ok {
		return []corev1.Pod{*pod}, nil
	}
	namespace, selector, err := polymorphichelpers.SelectorsForObject(object)
	if err != nil {
		return nil, err
	}
	list, err := opts.PodClient.Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

func usable(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning
}

// A steadyConn looks like one connection to one pod, and is one after the other. It implements httpstream.Dialer and
// httpstream.Connection.
type steadyConn struct {
	forwarder *steadyForwarder
	opts      portforward.PortForwardOptions
	never     chan bool

	mu       sync.Mutex // held while a pod is looked for: connections that come meanwhile want the same one
	name     string
	uid      types.UID
	conn     httpstream.Connection            // to that pod
	requests map[string]httpstream.Connection // by request: its two streams must be of one connection
	streams  map[httpstream.Stream]httpstream.Connection
}

// Dial implements httpstream.Dialer.
func (c *steadyConn) Dial(protocols ...string) (httpstream.Connection, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.liveLocked()
	return c, protocols[0], err
}

// CreateStream implements httpstream.Connection.
func (c *steadyConn) CreateStream(headers http.Header) (httpstream.Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	request := headers.Get(corev1.PortForwardRequestIDHeader)
	if conn := c.requests[request]; conn != nil {
		delete(c.requests, request)
		return c.createLocked(conn, headers)
	}
	conn, err := c.liveLocked()
	if err != nil {
		return nil, err
	}
	stream, err := c.createLocked(conn, headers)
	if err != nil {
		// It broke unnoticed.
		_ = conn.Close()
		c.conn = nil
		if conn, err = c.liveLocked(); err != nil {
			return nil, err
		}
		if stream, err = c.createLocked(conn, headers); err != nil {
			return nil, err
		}
	}
	c.requests[request] = conn
	return stream, nil
}

func (c *steadyConn) createLocked(conn httpstream.Connection, headers http.Header) (httpstream.Stream, error) {
	stream, err := conn.CreateStream(headers)
	if err == nil {
		c.streams[stream] = conn
	}
	return stream, err
}

// liveLocked returns a connection to a pod that is there to stay. The one to a pod that is on its way out is left alone:
// what travels on it may end in peace.
func (c *steadyConn) liveLocked() (httpstream.Connection, error) {
	ctx := context.Background()
	if c.conn != nil {
		select {
		case <-c.conn.CloseChan():
		default:
			pod, err := c.opts.PodClient.Pods(c.opts.Namespace).Get(ctx, c.name, metav1.GetOptions{})
			if err == nil && pod.UID == c.uid && usable(pod) {
				return c.conn, nil
			}
		}
		c.conn = nil
	}
	pod, err := c.forwarder.pick(ctx, c.opts)
	if err != nil {
		return nil, err
	}
	at := c.opts.RESTClient.Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	conn, err := dialPod(c.opts.Config, at)
	if err != nil {
		return nil, err
	}
	if c.name != "" && c.uid != pod.UID {
		fmt.Fprintf(c.forwarder.streams.Out, "Forwarding to pod %s now\n", pod.Name)
	}
	c.name, c.uid, c.conn = pod.Name, pod.UID, conn
	return conn, nil
}

func dialPod(config *rest.Config, at *url.URL) (httpstream.Connection, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, at)
	if !cmdutil.PortForwardWebsockets.IsDisabled() {
		tunnel, err := toolsportforward.NewSPDYOverWebsocketDialer(at, config)
		if err != nil {
			return nil, err
		}
		dialer = toolsportforward.NewFallbackDialer(tunnel, dialer, func(err error) bool {
			return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
		})
	}
	conn, _, err := dialer.Dial(toolsportforward.PortForwardProtocolV1Name)
	return conn, err
}

// Close implements httpstream.Connection. It is called when a pod did not take a connection, which says nothing about the
// next one; the process ends with the command.
func (c *steadyConn) Close() error { return nil }

// CloseChan implements httpstream.Connection.
func (c *steadyConn) CloseChan() <-chan bool { return c.never }

// SetIdleTimeout implements httpstream.Connection; nobody calls it here.
func (c *steadyConn) SetIdleTimeout(time.Duration) {}

// RemoveStreams implements httpstream.Connection.
func (c *steadyConn) RemoveStreams(streams ...httpstream.Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range streams {
		if conn := c.streams[s]; conn != nil {
			conn.RemoveStreams(s)
			delete(c.streams, s)
		}
	}
}
