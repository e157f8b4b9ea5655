package controllers

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	coreinformers "k8s.io/client-go/informers/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// When the claims are looked at again. The binder writes that a volume is available before it knows so itself; the
// later look is for when it is slow.
const (
	rematchSoon  = 20 * time.Millisecond
	rematchLater = 500 * time.Millisecond
)

// rematchedClaims is the informer of claims that the volume binder gets. The binder looks for a volume for a claim
// when the claim changes; when a volume appears it does so only at its next walk over everything, every 15 seconds.
// Here a volume that can be bound counts as a change of the claims that wait for one, so that they are bound at once.
type rematchedClaims struct {
	coreinformers.PersistentVolumeClaimInformer
	informer *notifyingInformer
}

func rematchClaims(claims coreinformers.PersistentVolumeClaimInformer, volumes coreinformers.PersistentVolumeInformer) (coreinformers.PersistentVolumeClaimInformer, error) {
	r := rematchedClaims{claims, &notifyingInformer{SharedIndexInformer: claims.Informer()}}
	changed := func(obj any) {
		v, ok := obj.(*corev1.PersistentVolume)
		if !ok || v.Status.Phase != corev1.VolumeAvailable {
			return
		}
		for _, after := range []time.Duration{rematchSoon, rematchLater} {
			time.AfterFunc(after, func() {
				for _, c := range waitingFor(v, claims.Lister()) {
					r.informer.again(c)
				}
			})
		}
	}
	if _, err := volumes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: func(_, obj any) { changed(obj) }}); err != nil {
		return nil, fmt.Errorf("watch volumes: %w", err)
	}
	return r, nil
}

func (r rematchedClaims) Informer() cache.SharedIndexInformer { return r.informer }

// waitingFor returns the unbound claims of the volume's class.
func waitingFor(v *corev1.PersistentVolume, lister corelisters.PersistentVolumeClaimLister) []*corev1.PersistentVolumeClaim {
	all, err := lister.List(labels.Everything())
	if err != nil { // a lister over a cache has none
		return nil
	}
	var waiting []*corev1.PersistentVolumeClaim
	for _, c := range all {
		class := c.Annotations[corev1.BetaStorageClassAnnotation]
		if c.Spec.StorageClassName != nil {
			class = *c.Spec.StorageClassName
		}
		if c.Status.Phase != corev1.ClaimBound && class == v.Spec.StorageClassName {
			waiting = append(waiting, c)
		}
	}
	return waiting
}
