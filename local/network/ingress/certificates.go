package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"skiff.local/skiff/local/network/httpproxy"
)

// certificates reads the Secrets that the TLS hosts of Ingresses name.
func (c *Controller) certificates(ctx context.Context, list []*networkingv1.Ingress) (*httpproxy.Certificates, []Finding) {
	certs := httpproxy.NewCertificates(c.cfg.Authority)
	var findings []Finding
	for _, ing := range list {
		for _, t := range ing.Spec.TLS {
			if t.SecretName == "" {
				continue
			}
			cert, err := c.Certificate(ctx, ing.Namespace, t.SecretName)
			if err != nil {
				findings = append(findings, Finding{ing, "InvalidTLS", fmt.Sprintf("secret %s: %v; a certificate of the local CA is served instead", t.SecretName, err)})
				continue
			}
			hosts := t.Hosts
			if len(hosts) == 0 {
				for _, r := range ing.Spec.Rules {
					hosts = append(hosts, r.Host)
				}
			}
			for _, h := range hosts {
				certs.Add(h, cert)
			}
		}
	}
	return certs, findings
}

// Certificate reads a Secret of the TLS kind. Config.Changed tells when another answer may be had.
func (c *Controller) Certificate(ctx context.Context, namespace, name string) (*tls.Certificate, error) {
	lister, err := c.secretLister(ctx)
	if err != nil {
		return nil, err
	}
	secret, err := lister.Secrets(namespace).Get(name)
	if err != nil {
		return nil, errors.New("it does not exist")
	}
	cert, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, err
	}
	return &cert, nil
}

// secretLister starts to watch Secrets when the first one is needed: most clusters have no TLS.
func (c *Controller) secretLister(ctx context.Context) (corelisters.SecretLister, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.secrets != nil {
		return c.secrets, nil
	}
	changed := func() { c.poke(); c.served() }
	secrets := c.cfg.Informers.Core().V1().Secrets()
	registration, err := secrets.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { changed() }, UpdateFunc: func(any, any) { changed() }, DeleteFunc: func(any) { changed() },
	})
	if err != nil {
		return nil, err
	}
	c.cfg.Informers.Start(ctx.Done())
	if !cache.WaitFor(ctx, "", registration.HasSyncedChecker()) {
		return nil, ctx.Err()
	}
	c.secrets = secrets.Lister()
	return c.secrets, nil
}
