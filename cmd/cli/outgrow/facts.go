package outgrow

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/up"
	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/watch/manifest"
	"skiff.local/skiff/watch/outgrow"
)

// factsTimeout bounds the questions to the other cluster; what it doesn't answer isn't judged.
const factsTimeout = 20 * time.Second

// gather asks the other cluster and the engine here. Local are the images that only the engine here has.
func gather(ctx context.Context, o *options, target up.Target, objects []manifest.Object) (facts outgrow.Facts, local []string) {
	ctx, cancel := context.WithTimeout(ctx, factsTimeout)
	defer cancel()
	facts = outgrow.Facts{Cluster: target.Name, Registry: o.registry}
	askCluster(ctx, target, objects, &facts)
	engine, err := o.up.Env.Engine(ctx)
	if err != nil {
		return facts, nil
	}
	defer engine.Close()
	facts.Local = map[string]string{}
	for _, image := range outgrow.Images(objects) {
		info, err := engine.InspectImage(ctx, image)
		if err != nil || outgrow.Known(image, info.Digests) {
			continue // not here, or a registry has it
		}
		facts.Local[image] = info.Architecture
		local = append(local, image)
	}
	return facts, local
}

func askCluster(ctx context.Context, target up.Target, objects []manifest.Object, facts *outgrow.Facts) {
	client, err := kubernetes.NewForConfig(target.REST)
	if err != nil {
		return
	}
	if _, lists, err := client.Discovery().ServerGroupsAndResources(); err == nil {
		facts.Kinds = map[string]bool{}
		for _, list := range lists {
			for _, resource := range list.APIResources {
				facts.Kinds[list.GroupVersion+"/"+resource.Kind] = true
			}
		}
		for _, obj := range objects {
			addOwnKinds(obj, facts.Kinds)
		}
	}
	const isDefault = "is-default-class"
	if list, err := client.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{}); err == nil {
		facts.StorageClasses = map[string]bool{}
		for _, class := range list.Items {
			facts.StorageClasses[class.Name] = class.Annotations["storageclass.kubernetes.io/"+isDefault] == "true"
		}
	}
	if list, err := client.NetworkingV1().IngressClasses().List(ctx, metav1.ListOptions{}); err == nil {
		facts.IngressClasses = map[string]bool{}
		for _, class := range list.Items {
			facts.IngressClasses[class.Name] = class.Annotations["ingressclass.kubernetes.io/"+isDefault] == "true"
		}
	}
	if list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{}); err == nil {
		facts.Architectures = map[string]bool{}
		for _, node := range list.Items {
			facts.Architectures[node.Status.NodeInfo.Architecture] = true
		}
	}
}

// addOwnKinds counts the kinds that the manifests define themselves as served.
func addOwnKinds(obj manifest.Object, kinds map[string]bool) {
	if obj.GetKind() != "CustomResourceDefinition" {
		return
	}
	group, _, _ := unstructured.NestedString(obj.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(obj.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(obj.Object, "spec", "versions")
	for _, version := range versions {
		if fields, ok := version.(map[string]any); ok {
			kinds[fmt.Sprintf("%s/%v/%s", group, fields["name"], kind)] = true
		}
	}
}

// push gives local images their names in the registry and pushes them, with the docker command line because it has the
// user's credentials. It returns what to run instead of what.
func push(ctx context.Context, o *options, images []string) (map[string]string, error) {
	command, err := exec.LookPath("docker")
	if err != nil {
		return nil, exit.With(exit.General, fmt.Errorf("push images: %w", err), "install the docker command line; it knows your registry's credentials")
	}
	engine, err := o.up.Env.Engine(ctx)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	replaced := map[string]string{}
	for _, image := range images {
		target, err := outgrow.Pushed(image, o.registry)
		if err != nil {
			return nil, exit.With(exit.Usage, err, "--registry registry.example/team")
		}
		if err := engine.TagImage(ctx, image, target); err != nil {
			return nil, err
		}
		fmt.Fprintf(o.up.Env.IO.ErrOut, "pushing %s as %s\n", image, target)
		if err := dockerPush(ctx, command, engine, target, o.up.Env.IO.ErrOut); err != nil {
			return nil, exit.With(exit.General, err, "is it the right registry, and are you logged in to it? docker login "+strings.SplitN(target, "/", 2)[0])
		}
		replaced[image] = target
	}
	return replaced, nil
}

func dockerPush(ctx context.Context, command string, engine *docker.Engine, target string, out io.Writer) error {
	c := exec.CommandContext(ctx, command, "push", "--quiet", target)
	c.Env = append(os.Environ(), "DOCKER_HOST="+engine.Host())
	var last strings.Builder
	c.Stderr = io.MultiWriter(out, &last)
	if err := c.Run(); err != nil {
		lines := bufio.NewScanner(strings.NewReader(last.String()))
		reason := ""
		for lines.Scan() {
			reason = lines.Text()
		}
		return fmt.Errorf("push %s: %w: %s", target, err, reason)
	}
	return nil
}
