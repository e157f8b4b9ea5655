package kube

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kubectl/pkg/cmd/annotate"
	"k8s.io/kubectl/pkg/cmd/apiresources"
	"k8s.io/kubectl/pkg/cmd/apply"
	"k8s.io/kubectl/pkg/cmd/attach"
	"k8s.io/kubectl/pkg/cmd/auth"
	"k8s.io/kubectl/pkg/cmd/autoscale"
	"k8s.io/kubectl/pkg/cmd/certificates"
	"k8s.io/kubectl/pkg/cmd/clusterinfo"
	cmdconfig "k8s.io/kubectl/pkg/cmd/config"
	"k8s.io/kubectl/pkg/cmd/cp"
	"k8s.io/kubectl/pkg/cmd/create"
	"k8s.io/kubectl/pkg/cmd/debug"
	"k8s.io/kubectl/pkg/cmd/delete"
	"k8s.io/kubectl/pkg/cmd/describe"
	"k8s.io/kubectl/pkg/cmd/diff"
	"k8s.io/kubectl/pkg/cmd/drain"
	"k8s.io/kubectl/pkg/cmd/edit"
	"k8s.io/kubectl/pkg/cmd/events"
	cmdexec "k8s.io/kubectl/pkg/cmd/exec"
	"k8s.io/kubectl/pkg/cmd/explain"
	"k8s.io/kubectl/pkg/cmd/expose"
	"k8s.io/kubectl/pkg/cmd/get"
	"k8s.io/kubectl/pkg/cmd/kustomize"
	"k8s.io/kubectl/pkg/cmd/label"
	"k8s.io/kubectl/pkg/cmd/logs"
	"k8s.io/kubectl/pkg/cmd/patch"
	"k8s.io/kubectl/pkg/cmd/proxy"
	"k8s.io/kubectl/pkg/cmd/replace"
	"k8s.io/kubectl/pkg/cmd/rollout"
	"k8s.io/kubectl/pkg/cmd/run"
	"k8s.io/kubectl/pkg/cmd/scale"
	"k8s.io/kubectl/pkg/cmd/set"
	"k8s.io/kubectl/pkg/cmd/taint"
	"k8s.io/kubectl/pkg/cmd/top"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/cmd/version"
	"k8s.io/kubectl/pkg/cmd/wait"
	utilcomp "k8s.io/kubectl/pkg/util/completion"
)

type (
	factory = cmdutil.Factory
	streams = genericiooptions.IOStreams
	builder = func(factory, streams) *cobra.Command
)

// fromGetter adapts the constructors that want less than a factory.
func fromGetter(build func(genericclioptions.RESTClientGetter, streams) *cobra.Command) builder {
	return func(f factory, s streams) *cobra.Command { return build(f, s) }
}

// fromParent adapts those that want the name of their parent for their help.
func fromParent(build func(string, factory, streams) *cobra.Command) builder {
	return func(f factory, s streams) *cobra.Command { return build("skiff", f, s) }
}

// withNames adds the completion of resources and their names that kubectl itself can only add from outside.
func withNames(build builder) builder {
	return func(f factory, s streams) *cobra.Command {
		c := build(f, s)
		c.ValidArgsFunction = utilcomp.ResourceTypeAndNameCompletionFunc(f)
		return c
	}
}

// Verbs are the verbs that skiff mounts under its own name, in the order of the help. delete and logs are not among
// them: skiff's own verbs of these names hand over to Delete and Logs.
func Verbs() []Verb {
	return []Verb{
		{Name: "get", Short: "Display one or many resources", Build: withNames(fromParent(get.NewCmdGet))},
		{Name: "describe", Short: "Show details of a resource or a group of resources", Build: fromParent(describe.NewCmdDescribe)},
		{Name: "create", Short: "Create a resource from a file or from stdin", Build: create.NewCmdCreate},
		{Name: "replace", Short: "Replace a resource by file name or stdin", Build: replace.NewCmdReplace},
		{Name: "edit", Short: "Edit a resource on the server", Build: edit.NewCmdEdit},
		{Name: "patch", Short: "Update fields of a resource", Build: patch.NewCmdPatch},
		{Name: "diff", Short: "Show what applying a file would change", Build: diff.NewCmdDiff},
		{Name: "label", Short: "Update the labels on a resource", Build: label.NewCmdLabel},
		{Name: "annotate", Short: "Update the annotations on a resource", Build: fromParent(annotate.NewCmdAnnotate)},
		{Name: "set", Short: "Set specific features on objects", Build: set.NewCmdSet},
		{Name: "run", Short: "Run a particular image in a pod", Build: run.NewCmdRun},
		{Name: "expose", Short: "Make a Service for a set of pods", Build: expose.NewCmdExposeService},
		{Name: "scale", Short: "Set a new size for a deployment, replica set or stateful set", Build: scale.NewCmdScale},
		{Name: "autoscale", Short: "Scale a deployment, replica set or stateful set by load", Build: autoscale.NewCmdAutoscale},
		{Name: "rollout", Short: "Manage the rollout of a resource", Build: fromParent(rollout.NewCmdRollout)},
		{Name: "exec", Short: "Execute a command in a container", Build: cmdexec.NewCmdExec},
		{Name: "attach", Short: "Attach to a running container", Build: attach.NewCmdAttach},
		{Name: "cp", Short: "Copy files to and from containers", Build: cp.NewCmdCp},
		{Name: "debug", Short: "Debug a pod with an ephemeral container or a copy", Build: withNames(fromGetter(debug.NewCmdDebug))},
		{Name: "port-forward", Short: "Forward local ports to a pod, and to the one that replaces it", Build: portForward},
		{Name: "proxy", Short: "Serve the Kubernetes API on a local port", Build: proxy.NewCmdProxy},
		{Name: "events", Short: "List events", Build: fromGetter(events.NewCmdEvents)},
		{Name: "wait", Short: "Wait for a condition on resources", Build: fromGetter(wait.NewCmdWait)},
		{Name: "top", Short: "Show the CPU and memory that nodes and pods use", Build: top.NewCmdTop},
		{Name: "auth", Short: "Inspect authorization", Build: auth.NewCmdAuth},
		{Name: "certificate", Short: "Approve or deny certificate signing requests", Build: fromGetter(certificates.NewCmdCertificate)},
		{Name: "cluster-info", Short: "Show where the control plane and its services answer", Build: fromGetter(clusterinfo.NewCmdClusterInfo)},
		{Name: "taint", Short: "Update the taints on nodes", Build: taint.NewCmdTaint},
		{Name: "cordon", Short: "Mark a node as unschedulable", Build: drain.NewCmdCordon},
		{Name: "uncordon", Short: "Mark a node as schedulable", Build: drain.NewCmdUncordon},
		{Name: "drain", Short: "Evict the pods of a node", Build: drain.NewCmdDrain},
		{Name: "explain", Short: "Show the documentation of a resource's fields", Build: fromParent(explain.NewCmdExplain)},
		{Name: "api-resources", Short: "List the API resources of the server", Build: fromGetter(apiresources.NewCmdAPIResources)},
		{Name: "api-versions", Short: "List the API versions of the server", Build: fromGetter(apiresources.NewCmdAPIVersions)},
		{Name: "kustomize", Short: "Build a kustomization from a directory or URL", Build: func(_ factory, s streams) *cobra.Command { return kustomize.NewCmdKustomize(s) }},
	}
}

// Delete is kubectl's delete.
func Delete() Verb {
	return Verb{Name: "delete", Short: "Delete resources", Build: delete.NewCmdDelete}
}

// Apply is kubectl's apply.
func Apply() Verb {
	return Verb{Name: "apply", Short: "Apply a configuration by file name or stdin", Build: fromParent(apply.NewCmdApply)}
}

// Logs is kubectl's logs.
func Logs() Verb {
	return Verb{Name: "logs", Short: "Print the logs of a container", Build: logs.NewCmdLogs}
}

// stockOnly are verbs that only `skiff kubectl` has, because skiff's own verbs of these names do other things.
func stockOnly() []Verb {
	return []Verb{
		Delete(), Apply(), Logs(),
		{Name: "config", Short: "Modify kubeconfig files", Build: func(f factory, s streams) *cobra.Command {
			return cmdconfig.NewCmdConfig(f, clientcmd.NewDefaultPathOptions(), s)
		}},
		{Name: "version", Short: "Print the client and server version information", Build: version.NewCmdVersion},
	}
}
