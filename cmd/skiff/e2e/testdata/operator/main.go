// The operator that the end-to-end tests run in the cluster. It is what an operator's author writes: controller-runtime,
// leader election, a kind of its own, a finalizer, a validating webhook, and an aggregated API. It is a module of its own because an
// operator is another program, with its own version of everything; skiff needs none of what it imports.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

func main() {
	ctrl.SetLogger(klog.Background())
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "operator: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	addToScheme(scheme)
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		LeaderElection:                true,
		LeaderElectionID:              "site-operator",
		LeaderElectionReleaseOnCancel: true,
		HealthProbeBindAddress:        ":8081",
		Metrics:                       server.Options{BindAddress: "0"},
	})
	if err != nil {
		return err
	}
	r := &reconciler{Client: manager.GetClient(), pod: os.Getenv("POD_NAME")}
	if err := ctrl.NewControllerManagedBy(manager).For(&Site{}).Owns(&corev1.ConfigMap{}).Complete(r); err != nil {
		return err
	}
	if err := ctrl.NewWebhookManagedBy(manager, &Site{}).WithValidator(validator{}).Complete(); err != nil {
		return err
	}
	for _, path := range []string{visitsPath, visitsPath + "/"} {
		manager.GetWebhookServer().Register(path, http.HandlerFunc(serveVisits))
	}
	if err := manager.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := manager.AddReadyzCheck("webhook", manager.GetWebhookServer().StartedChecker()); err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}

type validator struct{}

func (validator) ValidateCreate(_ context.Context, site *Site) (admission.Warnings, error) {
	if site.Spec.Title != strings.TrimSpace(site.Spec.Title) {
		return nil, fmt.Errorf("title %q has spaces around it", site.Spec.Title)
	}
	if strings.ToUpper(site.Spec.Title) == site.Spec.Title {
		return admission.Warnings{"there is no need to shout"}, nil
	}
	return nil, nil
}

func (v validator) ValidateUpdate(ctx context.Context, old, site *Site) (admission.Warnings, error) {
	if old.Spec.Owner != site.Spec.Owner {
		return nil, fmt.Errorf("the owner of a site never changes")
	}
	return v.ValidateCreate(ctx, site)
}

func (validator) ValidateDelete(context.Context, *Site) (admission.Warnings, error) { return nil, nil }
