package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"

	"skiff.local/skiff/runtime/image"
	"skiff.local/skiff/runtime/image/credential"
	"skiff.local/skiff/runtime/pod"
)

// objects reads the API for the workers: from the informers' memory, and from the API itself what they don't have yet, since
// a pod may be faster than the object it was created after.
type objects struct {
	client     kubernetes.Interface
	configMaps corelisters.ConfigMapLister
	secrets    corelisters.SecretLister
	services   corelisters.ServiceLister
	claims     corelisters.PersistentVolumeClaimLister
	volumes    corelisters.PersistentVolumeLister
}

func newObjects(client kubernetes.Interface, factory informers.SharedInformerFactory) *objects {
	core := factory.Core().V1()
	return &objects{
		client: client, configMaps: core.ConfigMaps().Lister(), secrets: core.Secrets().Lister(), services: core.Services().Lister(),
		claims: core.PersistentVolumeClaims().Lister(), volumes: core.PersistentVolumes().Lister(),
	}
}

func (o *objects) ConfigMap(ctx context.Context, namespace, name string) (*v1.ConfigMap, error) {
	found, err := o.configMaps.ConfigMaps(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return o.client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	}
	return found, err
}

func (o *objects) Secret(ctx context.Context, namespace, name string) (*v1.Secret, error) {
	found, err := o.secrets.Secrets(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return o.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	}
	return found, err
}

func (o *objects) Services(namespace string) ([]*v1.Service, error) {
	return o.services.Services(namespace).List(labels.Everything())
}

// PersistentVolumeClaim reads the API: whether a claim is bound must not be a moment out of date.
func (o *objects) PersistentVolumeClaim(ctx context.Context, namespace, name string) (*v1.PersistentVolumeClaim, error) {
	if found, err := o.claims.PersistentVolumeClaims(namespace).Get(name); err == nil && found.Status.Phase == v1.ClaimBound {
		return found, nil
	}
	return o.client.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (o *objects) PersistentVolume(ctx context.Context, name string) (*v1.PersistentVolume, error) {
	if found, err := o.volumes.Get(name); err == nil {
		return found, nil
	}
	return o.client.CoreV1().PersistentVolumes().Get(ctx, name, metav1.GetOptions{})
}

// RuntimeHandler reads the API: hardly a pod has a class.
func (o *objects) RuntimeHandler(ctx context.Context, class string) (string, error) {
	found, err := o.client.NodeV1().RuntimeClasses().Get(ctx, class, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return found.Handler, nil
}

// Token asks for a token that is bound to the pod.
func (o *objects) Token(ctx context.Context, p *v1.Pod, source *v1.ServiceAccountTokenProjection) (string, time.Time, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: source.ExpirationSeconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: p.UID},
	}}
	if source.Audience != "" {
		request.Spec.Audiences = []string{source.Audience}
	}
	account := p.Spec.ServiceAccountName
	if account == "" {
		account = "default"
	}
	got, err := o.client.CoreV1().ServiceAccounts(p.Namespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return "", time.Time{}, err
	}
	return got.Status.Token, got.Status.ExpirationTimestamp.Time, nil
}

// TrustBundle concatenates the bundles that a projection selects.
func (o *objects) TrustBundle(ctx context.Context, source *v1.ClusterTrustBundleProjection) ([]byte, error) {
	bundles := o.client.CertificatesV1beta1().ClusterTrustBundles()
	if source.Name != nil {
		found, err := bundles.Get(ctx, *source.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return []byte(found.Spec.TrustBundle), nil
	}
	options := metav1.ListOptions{}
	if source.LabelSelector != nil {
		selector, err := metav1.LabelSelectorAsSelector(source.LabelSelector)
		if err != nil {
			return nil, fmt.Errorf("selector of a trust bundle: %w", err)
		}
		options.LabelSelector = selector.String()
	}
	list, err := bundles.List(ctx, options)
	if err != nil {
		return nil, err
	}
	var pem strings.Builder
	for i := range list.Items {
		if source.SignerName == nil || list.Items[i].Spec.SignerName == *source.SignerName {
			pem.WriteString(list.Items[i].Spec.TrustBundle)
		}
	}
	return []byte(pem.String()), nil
}

// images gets containers their images with the pod's own pull secrets.
type images struct {
	manager *image.Manager
	objects *objects
}

// imageError gives image.Error the shape that package pod expects.
type imageError struct{ err *image.Error }

func (e imageError) Error() string { return e.err.Error() }

// Reason is the word for the container's waiting state.
func (e imageError) Reason() string { return e.err.Reason }

// Unwrap gives the image's own error.
func (e imageError) Unwrap() error { return e.err }

func (i *images) Ensure(ctx context.Context, p *v1.Pod, c *v1.Container, notify func(bool, string, string)) (pod.Image, error) {
	info, err := i.manager.Ensure(ctx, image.Request{
		Image: c.Image, Policy: image.Policy(c.ImagePullPolicy), Keyring: i.keyring(ctx, p),
		Notify: func(e image.Event) { notify(e.Warning, e.Reason, e.Message) },
	})
	if err != nil {
		if known, ok := err.(*image.Error); ok { //nolint:errorlint // Ensure returns it bare
			return pod.Image{}, imageError{known}
		}
		return pod.Image{}, err
	}
	return pod.Image{ID: info.ID, User: info.User}, nil
}

// keyring reads the pod's pull secrets; one that is missing is as good as none, as with kubelet.
func (i *images) keyring(ctx context.Context, p *v1.Pod) image.Keyring {
	var secrets []v1.Secret
	for _, ref := range p.Spec.ImagePullSecrets {
		if secret, err := i.objects.Secret(ctx, p.Namespace, ref.Name); err == nil {
			secrets = append(secrets, *secret)
		}
	}
	if len(secrets) == 0 {
		return nil
	}
	ring, err := credential.FromSecrets(secrets)
	if err != nil {
		return nil
	}
	return ring
}

// sourceHandler wakes the workers whose pods use an object that has changed.
func sourceHandler(a *Agent, uses func(p *v1.Pod, name string) bool) cache.ResourceEventHandler {
	changed := func(o any) {
		if tomb, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = tomb.Obj
		}
		object, ok := o.(metav1.Object)
		if !ok || !a.isReady() {
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		for uid, p := range a.owners {
			if p.Namespace == object.GetNamespace() && uses(p, object.GetName()) {
				a.workers[uid].SourcesChanged()
			}
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: changed,
		UpdateFunc: func(before, after any) {
			a, okA := before.(metav1.Object)
			b, okB := after.(metav1.Object)
			if okA && okB && a.GetResourceVersion() == b.GetResourceVersion() && a.GetResourceVersion() != "" {
				return
			}
			changed(after)
		},
		DeleteFunc: changed,
	}
}

func usesConfigMap(p *v1.Pod, name string) bool {
	found := false
	podutil.VisitPodConfigmapNames(p, func(n string) bool { found = found || n == name; return !found })
	return found
}

func usesSecret(p *v1.Pod, name string) bool {
	found := false
	podutil.VisitPodSecretNames(p, func(n string) bool { found = found || n == name; return !found })
	return found
}

func usesClaim(p *v1.Pod, name string) bool {
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == name || v.Ephemeral != nil && p.Name+"-"+v.Name == name {
			return true
		}
	}
	return false
}

var _ pod.Objects = (*objects)(nil)
