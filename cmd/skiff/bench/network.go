package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/local/network/networktest/load"
	"skiff.local/skiff/local/network/networktest/probeimage"
	"skiff.local/skiff/runtime/docker"
)

// The probe's ports: HTTP, TCP echo, TCP sink.
var probePorts = map[string]int32{"http": 8080, "echo": 9091, "sink": 9092}

// kept and short are the clients of a measurement of requests: on connections that are kept, and on one per request.
const (
	clients  = 16
	loadTime = 3 * time.Second
)

// withProbe loads the probe's image, once per run.
func (b *bench) withProbe(ctx context.Context) (string, error) {
	if b.probe != "" {
		return b.probe, nil
	}
	ref := fmt.Sprintf("skiff.local/bench-probe-%d:1", os.Getpid())
	remove, err := probeimage.Load(ctx, b.engine, ref)
	if err != nil {
		return "", err
	}
	b.atEnd = append(b.atEnd, func(ctx context.Context) { _ = remove(ctx) })
	b.probe = ref
	return ref, nil
}

// servers makes pods of the probe behind a NodePort Service, all named app, and returns the Service and the pods' addresses.
func (b *bench) servers(ctx context.Context, app string, n int) (*corev1.Service, []string, error) {
	ref, err := b.withProbe(ctx)
	if err != nil {
		return nil, nil, err
	}
	var addresses []string
	for i := range n {
		pod, err := b.probePod(ctx, fmt.Sprintf("%s-%d", app, i), app, ref)
		if err != nil {
			return nil, nil, err
		}
		addresses = append(addresses, pod.Status.PodIP)
	}
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: app},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Selector: map[string]string{"app": app}},
	}
	for name, port := range probePorts {
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: name, Port: port, TargetPort: intstr.FromInt32(port)})
	}
	if svc, err = b.client.CoreV1().Services(namespace).Create(ctx, svc, metav1.CreateOptions{}); err != nil {
		return nil, nil, err
	}
	return svc, addresses, awaitOK(ctx, fmt.Sprintf("http://127.0.0.1:%d/", portOf(svc, "http", true)), "")
}

// probePod starts a pod of the probe and returns it when it is ready.
func (b *bench) probePod(ctx context.Context, name, app, ref string) (*corev1.Pod, error) {
	pods := b.client.CoreV1().Pods(namespace)
	_, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: ptr.To(false), TerminationGracePeriodSeconds: ptr.To(int64(1)),
			Containers: []corev1.Container{{
				Name: "probe", Image: ref, ImagePullPolicy: corev1.PullNever, Command: []string{probeimage.Binary, "serve"},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(time.Minute); ; {
		pod, err := pods.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return pod, nil
			}
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("pod %s is not ready after a minute", name)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// removeServers removes what servers and probePod made.
func (b *bench) removeServers(ctx context.Context, app string) {
	ctx = context.WithoutCancel(ctx)
	_ = b.client.CoreV1().Services(namespace).Delete(ctx, app, metav1.DeleteOptions{})
	_ = b.client.CoreV1().Pods(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=" + app})
}

// inPod runs a command of the probe in a pod's container and returns what it printed.
func (b *bench) inPod(ctx context.Context, pod *corev1.Pod, args ...string) (string, error) {
	labels := docker.PodLabels(b.profile.Name, string(pod.UID))
	labels[docker.LabelRole] = string(docker.RoleContainer)
	list, err := b.engine.ListContainers(ctx, docker.ListOptions{Labels: labels, RunningOnly: true})
	if err != nil || len(list) == 0 {
		return "", fmt.Errorf("find the container of pod %s: %d found, %v", pod.Name, len(list), err)
	}
	var out bytes.Buffer
	code, err := b.engine.Exec(ctx, list[0].ID, docker.ExecSpec{Cmd: append([]string{probeimage.Binary}, args...)}, docker.Streams{Stdout: &out, Stderr: &out})
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d: %s", code, out.String())
	}
	if err != nil {
		return "", fmt.Errorf("probe %s in pod %s: %w", strings.Join(args, " "), pod.Name, err)
	}
	return strings.TrimSpace(out.String()), nil
}

func (b *bench) numberInPod(ctx context.Context, pod *corev1.Pod, args ...string) (float64, error) {
	out, err := b.inPod(ctx, pod, args...)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(out, 64)
}

func (b *bench) loadInPod(ctx context.Context, pod *corev1.Pod, args ...string) (load.Summary, error) {
	var s load.Summary
	out, err := b.inPod(ctx, pod, args...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	return s, err
}

// portOf is the Service's port of a name, or its node port.
func portOf(svc *corev1.Service, name string, node bool) int32 {
	for _, p := range svc.Spec.Ports {
		if p.Name == name && node {
			return p.NodePort
		} else if p.Name == name {
			return p.Port
		}
	}
	return 0
}

// awaitOK waits until a URL answers.
func awaitOK(ctx context.Context, url, host string) error {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var last error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		req.Host = host
		res, err := client.Do(req)
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("status %d", res.StatusCode)
		}
		last = err
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s does not answer: %w", url, last)
}

// ask loads a URL for a while.
func ask(ctx context.Context, o load.Options) load.Summary {
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	return load.Run(ctx, o).Summary()
}
