package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/local/apiserver/pki"
)

// clientTrust publishes how extension API servers recognise this server and its clients: the ConfigMap that
// they read at start.
func (b bootstrap) clientTrust(ctx context.Context) error {
	data := map[string]string{
		"client-ca-file":                     string(b.cfg.PKI.CA.Cert),
		"requestheader-client-ca-file":       string(b.cfg.PKI.ProxyCA.Cert),
		"requestheader-allowed-names":        jsonList(pki.ProxyUser),
		"requestheader-extra-headers-prefix": jsonList("X-Remote-Extra-"),
		"requestheader-group-headers":        jsonList("X-Remote-Group"),
		"requestheader-username-headers":     jsonList("X-Remote-User"),
		"requestheader-uid-headers":          jsonList("X-Remote-Uid"),
	}
	const name = "extension-apiserver-authentication"
	c := b.client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	have, err := c.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = c.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}, metav1.CreateOptions{})
	case err == nil && !maps.Equal(have.Data, data):
		have.Data = data
		_, err = c.Update(ctx, have, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("publish trust for extension API servers: %w", err)
	}
	return nil
}

func jsonList(items ...string) string {
	b, err := json.Marshal(items)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(b)
}
