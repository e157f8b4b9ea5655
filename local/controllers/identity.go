package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	certificatesinformers "k8s.io/client-go/informers/certificates/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/certificates/approver"
	"k8s.io/kubernetes/pkg/controller/certificates/cleaner"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/certificates/signer"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	tokens "k8s.io/kubernetes/pkg/serviceaccount"
	"k8s.io/utils/clock"
)

func newServiceAccounts(ctx context.Context, env *environment) (runFunc, error) {
	core := env.Informers.Core().V1()
	c, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx), core.ServiceAccounts(), core.Namespaces(), env.client, serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return nil, err
	}
	return withWorkers(c.Run, 1), nil
}

// newTokens fills the Secrets of type kubernetes.io/service-account-token. Pods don't need them.
func newTokens(ctx context.Context, env *environment) (runFunc, error) {
	if env.ServiceAccountKey == nil {
		return nil, nil
	}
	generator, err := tokens.JWTTokenGenerator(tokens.LegacyIssuer, env.ServiceAccountKey)
	if err != nil {
		return nil, fmt.Errorf("make token generator: %w", err)
	}
	core := env.Informers.Core().V1()
	c, err := serviceaccount.NewTokensController(klog.FromContext(ctx), core.ServiceAccounts(), core.Secrets(), env.client,
		serviceaccount.TokensControllerOptions{TokenGenerator: generator, RootCA: env.RootCA})
	if err != nil {
		return nil, err
	}
	return withWorkers(c.Run, 1), nil
}

func newLegacyTokenCleaner(_ context.Context, env *environment) (runFunc, error) {
	core := env.Informers.Core().V1()
	c, err := serviceaccount.NewLegacySATokenCleaner(core.ServiceAccounts(), core.Secrets(), core.Pods(), env.client, clock.RealClock{},
		serviceaccount.LegacySATokenCleanerOptions{CleanUpPeriod: legacyTokenAge, SyncInterval: serviceaccount.DefaultCleanerSyncInterval})
	if err != nil {
		return nil, err
	}
	return c.Run, nil
}

func newRootCAPublisher(_ context.Context, env *environment) (runFunc, error) {
	core := env.Informers.Core().V1()
	c, err := rootcacertpublisher.NewPublisher(core.ConfigMaps(), core.Namespaces(), env.client, env.RootCA)
	if err != nil {
		return nil, err
	}
	return withWorkers(c.Run, 1), nil
}

// newCSRSigning signs with the cluster's one CA for all of Kubernetes' signers, as kubeadm sets it up.
func newCSRSigning(ctx context.Context, env *environment) (runFunc, error) {
	if env.CAKeyFile == "" {
		return nil, nil
	}
	csrs := env.Informers.Certificates().V1().CertificateSigningRequests()
	var signers []*signer.CSRSigningController
	for _, s := range []struct {
		name string
		make signerFunc
	}{
		{"kubelet serving", signer.NewKubeletServingCSRSigningController},
		{"kubelet client", signer.NewKubeletClientCSRSigningController},
		{"API client", signer.NewKubeAPIServerClientCSRSigningController},
		{"legacy", signer.NewLegacyUnknownCSRSigningController},
	} {
		c, err := s.make(ctx, env.client, csrs, env.CACertFile, env.CAKeyFile, certificateTTL)
		if err != nil {
			return nil, fmt.Errorf("make %s signer: %w", s.name, err)
		}
		signers = append(signers, c)
	}
	return func(ctx context.Context) {
		var wg sync.WaitGroup
		for _, s := range signers {
			wg.Go(func() { s.Run(ctx, 1) })
		}
		wg.Wait()
	}, nil
}

func newCSRApproving(ctx context.Context, env *environment) (runFunc, error) {
	c := approver.NewCSRApprovingController(ctx, env.client, env.Informers.Certificates().V1().CertificateSigningRequests())
	return withWorkers(c.Run, 1), nil
}

func newCSRCleaner(_ context.Context, env *environment) (runFunc, error) {
	c := cleaner.NewCSRCleanerController(env.client.CertificatesV1().CertificateSigningRequests(), env.Informers.Certificates().V1().CertificateSigningRequests())
	return withWorkers(c.Run, 1), nil
}

type signerFunc func(ctx context.Context, client kubernetes.Interface, csrs certificatesinformers.CertificateSigningRequestInformer, caFile, caKeyFile string, ttl time.Duration) (*signer.CSRSigningController, error)
