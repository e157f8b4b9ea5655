package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"skiff.local/skiff/local/authority"
)

// certificates are what a door shows, by host pattern; "" for any host. It is immutable once built.
type certificates struct {
	byHost    map[string]*tls.Certificate
	authority *authority.Authority
}

func (c *Controller) newCertificates() *certificates {
	return &certificates{byHost: map[string]*tls.Certificate{}, authority: c.cfg.Authority}
}

// add keeps what is already there.
func (c *certificates) add(host string, cert *tls.Certificate) {
	if host = strings.ToLower(host); c.byHost[host] == nil {
		c.byHost[host] = cert
	}
}

// find is the certificate for a name that a client asks for: the authority signs for those that have none.
func (c *certificates) find(name string) (*tls.Certificate, error) {
	host := strings.ToLower(strings.TrimSuffix(name, "."))
	if cert := c.byHost[host]; cert != nil {
		return cert, nil
	}
	for rest := host; ; {
		dot := strings.IndexByte(rest, '.')
		if dot < 0 {
			break
		}
		if cert := c.byHost["*"+rest[dot:]]; cert != nil {
			return cert, nil
		}
		rest = rest[dot+1:]
	}
	if cert := c.byHost[""]; cert != nil {
		return cert, nil
	}
	if c.authority == nil {
		return nil, errors.New("no certificate for " + host)
	}
	if host == "" {
		host = "localhost"
	}
	return c.authority.Leaf(host)
}

// certificates reads the Secrets that the TLS hosts of Ingresses name.
func (c *Controller) certificates(ctx context.Context, list []*networkingv1.Ingress) (*certificates, []Finding) {
	certs := c.newCertificates()
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
				certs.add(h, cert)
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
	if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return nil, ctx.Err()
	}
	c.secrets = secrets.Lister()
	return c.secrets, nil
}
