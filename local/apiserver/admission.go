package apiserver

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"
	mutatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	validatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	validatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	controlplaneadmission "k8s.io/kubernetes/pkg/controlplane/apiserver/admission"
	kubeadmission "k8s.io/kubernetes/pkg/kubeapiserver/admission"
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
// A nil function belongs to a plugin that the generic server registers itself.
func admissionPlugins() []admissionPlugin {
	return []admissionPlugin{
		{lifecycle.PluginName, nil},
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
		{mutatingpolicy.PluginName, nil},
		{mutatingwebhook.PluginName, nil},
		{validatingpolicy.PluginName, nil},
		{validatingwebhook.PluginName, nil},
		{resourcequota.PluginName, resourcequota.Register},
	}
}

// applyAdmission puts the admission chain into the server's configuration. Webhooks are called through reach.
func applyAdmission(generic *genericapiserver.Config, client kubernetes.Interface, factory informers.SharedInformerFactory, reach *reach) error {
	opts := genericoptions.NewAdmissionOptions()
	opts.DefaultOffPlugins = sets.New[string]()
	opts.RecommendedPluginOrder = nil
	for _, p := range admissionPlugins() {
		if p.register != nil {
			p.register(opts.Plugins)
		}
		opts.RecommendedPluginOrder = append(opts.RecommendedPluginOrder, p.name)
	}
	dyn, err := dynamic.NewForConfig(generic.LoopbackClientConfig)
	if err != nil {
		return fmt.Errorf("make dynamic client: %w", err)
	}
	initializers, err := (&controlplaneadmission.Config{
		LoopbackClientConfig: generic.LoopbackClientConfig,
		ExternalInformers:    factory,
		APIResourceConfig:    generic.MergedResourceConfig,
	}).New(reach.transport(), nil, reach.resolver(), generic.TracerProvider)
	if err != nil {
		return fmt.Errorf("make admission initializers: %w", err)
	}
	own, err := (&kubeadmission.Config{}).New()
	if err != nil {
		return fmt.Errorf("make admission initializers: %w", err)
	}
	if err := opts.ApplyTo(generic, factory, client, dyn, utilfeature.DefaultFeatureGate, generic.EffectiveVersion, append(own, initializers...)...); err != nil {
		return fmt.Errorf("make admission chain: %w", err)
	}
	return nil
}
