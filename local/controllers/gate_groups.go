package controllers

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers/admissionregistration"
	"k8s.io/client-go/informers/apiserverinternal"
	"k8s.io/client-go/informers/apps"
	"k8s.io/client-go/informers/autoscaling"
	"k8s.io/client-go/informers/batch"
	"k8s.io/client-go/informers/certificates"
	"k8s.io/client-go/informers/coordination"
	"k8s.io/client-go/informers/core"
	"k8s.io/client-go/informers/discovery"
	"k8s.io/client-go/informers/events"
	"k8s.io/client-go/informers/extensions"
	"k8s.io/client-go/informers/flowcontrol"
	"k8s.io/client-go/informers/networking"
	"k8s.io/client-go/informers/node"
	"k8s.io/client-go/informers/policy"
	"k8s.io/client-go/informers/rbac"
	"k8s.io/client-go/informers/resource"
	"k8s.io/client-go/informers/scheduling"
	"k8s.io/client-go/informers/storage"
	"k8s.io/client-go/informers/storagemigration"
)

// The API groups of informers.SharedInformerFactory, on gated informers. A group that is missing here would hand out
// informers without a gate; the test of this file finds it.

func (f gatedFactory) Admissionregistration() admissionregistration.Interface {
	return admissionregistration.New(f, metav1.NamespaceAll, nil)
}

func (f gatedFactory) Internal() apiserverinternal.Interface {
	return apiserverinternal.New(f, metav1.NamespaceAll, nil)
}

func (f gatedFactory) Apps() apps.Interface { return apps.New(f, metav1.NamespaceAll, nil) }

func (f gatedFactory) Autoscaling() autoscaling.Interface {
	return autoscaling.New(f, metav1.NamespaceAll, nil)
}

func (f gatedFactory) Batch() batch.Interface { return batch.New(f, metav1.NamespaceAll, nil) }

func (f gatedFactory) Certificates() certificates.Interface {
	return certificates.New(f, metav1.NamespaceAll, nil)
}

func (f gatedFactory) Coordination() coordination.Interface {
	return coordination.New(f, metav1.NamespaceAll, nil)
}

func (f gatedFactory) Core() core.Interface { return core.New(f, metav1.NamespaceAll, nil) }

func (f gatedFactory) Discovery() discovery.Interface {
	return discovery.New(f, metav1.NamespaceAll, nil)
}

func (f gatedFactory) Events() events.Interface { return events.New(f, metav1.NamespaceAll, nil) }

func (f gatedFactory) Extensions() extensions.Interface {
	return extensions.New(f, metav1.NamespaceAll, nil)
}

func (f gatedFactory) Flowcontrol() flowcontrol.Interface {
	return flowcontrol.New(f, metav1.NamespaceAll, nil)
}

func (f gatedFactory) Networking() networking.Interface {
	return networking.New(f, metav1.NamespaceAll, nil)
}

func (f gatedFactory) Node() node.Interface { return node.New(f, metav1.NamespaceAll, nil) }

func (f gatedFactory) Policy() policy.Interface { return policy.New(f, metav1.NamespaceAll, nil) }

func (f gatedFactory) Rbac() rbac.Interface { return rbac.New(f, metav1.NamespaceAll, nil) }

func (f gatedFactory) Resource() resource.Interface { return resource.New(f, metav1.NamespaceAll, nil) }

func (f gatedFactory) Scheduling() scheduling.Interface {
	return scheduling.New(f, metav1.NamespaceAll, nil)
}

func (f gatedFactory) Storage() storage.Interface { return storage.New(f, metav1.NamespaceAll, nil) }

func (f gatedFactory) Storagemigration() storagemigration.Interface {
	return storagemigration.New(f, metav1.NamespaceAll, nil)
}
