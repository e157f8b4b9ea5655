package apiserver

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserverapi "k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/request/websocket"
	"k8s.io/apiserver/pkg/authentication/request/x509"
	tokencache "k8s.io/apiserver/pkg/authentication/token/cache"
	tokenunion "k8s.io/apiserver/pkg/authentication/token/union"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

// tokenCacheTTL is how long a token stays good after its ServiceAccount, Secret or Pod is gone; kube-apiserver's value.
const tokenCacheTTL = 10 * time.Second

// newAuthenticator recognises client certificates and service-account tokens. Requests without
// credentials are let through to the health endpoints only.
func newAuthenticator(cfg Config, keys serviceaccount.PublicKeysGetter, clientCA dynamiccertificates.CAContentProvider, client kubernetes.Interface) (authenticator.Request, error) {
	audiences := authenticator.Audiences{cfg.issuer()}
	getter := clientGetter{client}
	legacy, err := serviceaccount.NewLegacyValidator(true, getter, client.CoreV1())
	if err != nil {
		return nil, fmt.Errorf("make validator of legacy tokens: %w", err)
	}
	tokens := tokencache.New(tokenunion.New(
		serviceaccount.JWTTokenAuthenticator([]string{serviceaccount.LegacyIssuer}, keys, audiences, legacy),
		serviceaccount.JWTTokenAuthenticator([]string{cfg.issuer()}, keys, audiences, serviceaccount.NewValidator(getter)),
	), true, tokenCacheTTL, 0)
	known := union.New(
		x509.NewDynamic(clientCA.VerifyOptions, x509.CommonNameUserConversion),
		bearertoken.New(tokens),
		websocket.NewProtocolAuthenticator(tokens),
	)
	var health []apiserverapi.AnonymousAuthCondition
	for _, p := range healthPaths() {
		health = append(health, apiserverapi.AnonymousAuthCondition{Path: p})
	}
	return union.NewFailOnError(group.NewAuthenticatedGroupAdder(known), anonymous.NewAuthenticator(health)), nil
}

// clientGetter looks up what a token is bound to. It asks the store on every miss of the token cache,
// which costs less than keeping every Secret in an informer.
type clientGetter struct{ client kubernetes.Interface }

func (g clientGetter) GetServiceAccount(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	return g.client.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (g clientGetter) GetPod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	return g.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (g clientGetter) GetSecret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	return g.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (g clientGetter) GetNode(ctx context.Context, name string) (*corev1.Node, error) {
	return g.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
}
