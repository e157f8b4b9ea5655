package livesync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
)

// API executes through the Kubernetes API, over WebSocket, and over SPDY where a cluster is too old for that.
type API struct {
	Config *rest.Config
	Client kubernetes.Interface
}

// Restart implements Executor. skiff's nodes answer the request, kubelets don't know it.
func (a API) Restart(ctx context.Context, namespace, pod, container string) error {
	where, err := a.Client.CoreV1().Pods(namespace).Get(ctx, pod, metav1.GetOptions{})
	if err != nil {
		return err
	}
	err = a.Client.CoreV1().RESTClient().Post().Resource("nodes").Name(where.Spec.NodeName).SubResource("proxy").
		Suffix("restart", namespace, pod, container).Do(ctx).Error()
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return ErrNoRestart
	}
	return err
}

// ErrNoRestart says that the cluster can't restart a container in place.
var ErrNoRestart = errors.New("only skiff's own nodes restart a container in place")

// Exec implements Executor.
func (a API) Exec(ctx context.Context, namespace, pod, container string, command []string, stdin io.Reader) error {
	request := a.Client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdin: stdin != nil, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	websocket, err := remotecommand.NewWebSocketExecutor(a.Config, http.MethodGet, request.URL().String())
	if err != nil {
		return fmt.Errorf("reach the container: %w", err)
	}
	spdy, err := remotecommand.NewSPDYExecutor(a.Config, http.MethodPost, request.URL())
	if err != nil {
		return fmt.Errorf("reach the container: %w", err)
	}
	executor, err := remotecommand.NewFallbackExecutor(websocket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return fmt.Errorf("reach the container: %w", err)
	}
	var output bytes.Buffer
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: &output, Stderr: &output})
	if err != nil {
		if said := strings.TrimSpace(output.String()); said != "" {
			return fmt.Errorf("%w: %s", err, said)
		}
		return err
	}
	return nil
}
