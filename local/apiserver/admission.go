package apiserver

import (
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"
	mutatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	validatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	validatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	certapproval "k8s.io/kubernetes/plugin/pkg/admission/certificates/approval"
	certsigning "k8s.io/kubernetes/plugin/pkg/admission/certificates/signing"
	certsubjectrestriction "k8s.io/kubernetes/plugin/pkg/admission/certificates/subjectrestriction"
	"k8s.io/kubernetes/plugin/pkg/admission/defaulttolerationseconds"
	"k8s.io/kubernetes/plugin/pkg/admission/limitranger"
	"k8s.io/kubernetes/plugin/pkg/admission/network/defaultingressclass"
	"k8s.io/kubernetes/plugin/pkg/admission/podresize"
	"k8s.io/kubernetes/plugin/pkg/admission/podtopologylabels"
	podpriority "k8s.io/kubernetes/plugin/pkg/admission/priority"
	"k8s.io/kubernetes/plugin/pkg/admission/runtimeclass"
	"k8s.io/kubernetes/plugin/pkg/admission/security/podsecurity"
	"k8s.io/kubernetes/plugin/pkg/admission/serviceaccount"
	"k8s.io/kubernetes/plugin/pkg/admission/storage/persistentvolume/resize"
	"k8s.io/kubernetes/plugin/pkg/admission/storage/storageclass/setdefault"
	"k8s.io/kubernetes/plugin/pkg/admission/storage/storageobjectinuseprotection"
)

// admissionPlugin is a plugin with the function that registers it.
type admissionPlugin struct {
	name     string
	register func(*admission.Plugins)
}

// admissionPlugins are those that kube-apiserver has on by default, in its order. Left out are
// TaintNodesByCondition (it waits for a node lifecycle controller that one engine has no use for),
// NodeDeclaredFeatureValidator (the nodes are no kubelets), and those for APIs that are not served by default.
// Between them and quota, which comes last, come those of extensionPlugins.
func admissionPlugins() []admissionPlugin {
	return []admissionPlugin{
		{lifecycle.PluginName, lifecycle.Register},
		{limitranger.PluginName, limitranger.Register},
		{serviceaccount.PluginName, serviceaccount.Register},
		{podsecurity.PluginName, podsecurity.Register},
		{podpriority.PluginName, podpriority.Register},
		{defaulttolerationseconds.PluginName, defaulttolerationseconds.Register},
		{setdefault.PluginName, setdefault.Register},
		{storageobjectinuseprotection.PluginName, storageobjectinuseprotection.Register},
		{resize.PluginName, resize.Register},
		{runtimeclass.PluginName, runtimeclass.Register},
		{certapproval.PluginName, certapproval.Register},
		{certsigning.PluginName, certsigning.Register},
		{certsubjectrestriction.PluginName, certsubjectrestriction.Register},
		{defaultingressclass.PluginName, defaultingressclass.Register},
		{podtopologylabels.PluginName, podtopologylabels.Register},
		{podresize.PluginName, podresize.Register},
	}
}

// extensionPlugins do what policies and webhooks say. They are made when there is the first of those: they
// keep 3 MB and wake up every second.
func extensionPlugins() []admissionPlugin {
	return []admissionPlugin{
		{mutatingpolicy.PluginName, mutatingpolicy.Register},
		{mutatingwebhook.PluginName, mutatingwebhook.Register},
		{validatingpolicy.PluginName, validatingpolicy.Register},
		{validatingwebhook.PluginName, validatingwebhook.Register},
	}
}

// quotaPlugin comes last, so that it counts only what nobody else refuses.
func quotaPlugin() []admissionPlugin {
	return []admissionPlugin{{resourcequota.PluginName, resourcequota.Register}}
}

// admissionInformers asks factory for what the plugins read. The list only saves time: what it lacks is
// started and waited for once the plugins have asked for it themselves.
func admissionInformers(factory informers.SharedInformerFactory) []cache.SharedIndexInformer {
	core := factory.Core().V1()
	return append(extensionInformers(factory),
		core.Namespaces().Informer(),
		core.LimitRanges().Informer(),
		core.ServiceAccounts().Informer(),
		core.ResourceQuotas().Informer(),
		core.Nodes().Informer(),
		core.Pods().Informer(),
		factory.Resource().V1().ResourceClaims().Informer(),
		factory.Resource().V1().DeviceClasses().Informer(),
		factory.Storage().V1().StorageClasses().Informer(),
		factory.Scheduling().V1().PriorityClasses().Informer(),
		factory.Node().V1().RuntimeClasses().Informer(),
		factory.Networking().V1().IngressClasses().Informer(),
	)
}

// extensionInformers follow the objects without which the extensionPlugins have nothing to do.
func extensionInformers(factory informers.SharedInformerFactory) []cache.SharedIndexInformer {
	group := factory.Admissionregistration().V1()
	return []cache.SharedIndexInformer{
		group.MutatingWebhookConfigurations().Informer(),
		group.ValidatingWebhookConfigurations().Informer(),
		group.MutatingAdmissionPolicies().Informer(),
		group.ValidatingAdmissionPolicies().Informer(),
	}
}
