package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff.local/skiff/templates"
)

// standIns are programs in the place of those that the templates' public images have: they listen where those would, write
// where those would, and answer the probes.
var standIns = map[string]string{
	"redis-server": `#!/bin/sh
trap 'exit 0' TERM
touch /data/appendonly.aof && httpd -f -p 6379 -h /www & wait $!
`,
	"redis-cli": "#!/bin/sh\nexec wget -q -O /dev/null http://127.0.0.1:6379/\n",
	"postgres": `#!/bin/sh
trap 'exit 0' TERM
mkdir -p "$PGDATA" && touch /var/run/postgresql/lock /tmp/sort && httpd -f -p 5432 -h /www & wait $!
`,
	"pg_isready": "#!/bin/sh\nexec wget -q -O /dev/null http://127.0.0.1:5432/\n",
}

// TestEveryTemplateRuns writes each template as a user would, into a namespace that takes only what Pod Security's
// restricted level allows.
func TestEveryTemplateRuns(t *testing.T) {
	ensureStarted(t)
	restrictedNamespace(t, "templates")
	dir := t.TempDir()
	dockerfile := "FROM " + shared.image + ":0.1\n"
	for name, script := range standIns {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		dockerfile += "COPY " + name + " /bin/" + name + "\n"
	}
	save(t, filepath.Join(dir, "Dockerfile"), dockerfile+"CMD [\"/bin/postgres\"]\n")
	image := shared.image + ":standin"
	buildImage(t, image, dir)

	ready := map[string]func(t *testing.T){
		"web": func(t *testing.T) {
			kubectl(t, "rollout", "status", "deployment/my-web", "--timeout=2m")
			eventuallyServes(t, nodePortURL(t, "my-web"), "hello")
		},
		"ingress": func(t *testing.T) {
			kubectl(t, "rollout", "status", "deployment/my-ingress", "--timeout=2m")
			eventuallyServes(t, strings.TrimSpace(skiff(t, "service", "my-ingress", "--url")), "hello")
		},
		"worker": func(t *testing.T) {
			kubectl(t, "rollout", "status", "deployment/my-worker", "--timeout=2m")
			eventuallyPrints(t, "working", "logs", "deployment/my-worker")
		},
		"cron": func(t *testing.T) {
			kubectl(t, "create", "job", "--from=cronjob/my-cron", "now")
			kubectl(t, "wait", "--for=condition=Complete", "job/now", "--timeout=2m")
		},
		"job": func(t *testing.T) {
			kubectl(t, "wait", "--for=condition=Complete", "job/my-job", "--timeout=2m")
		},
		"postgres": func(t *testing.T) {
			kubectl(t, "rollout", "status", "statefulset/my-postgres", "--timeout=2m")
		},
		"redis": func(t *testing.T) {
			kubectl(t, "rollout", "status", "statefulset/my-redis", "--timeout=2m")
		},
	}
	out := t.TempDir()
	for _, template := range templates.All() {
		args := []string{"new", template.Name, "my-" + template.Name, "--dir", out}
		if template.Name != "web" && template.Name != "ingress" { // whose image is part of skiff
			args = append(args, "--image", image)
		}
		skiff(t, args...)
	}
	skiff(t, "up", "--once", "-n", "templates", out)
	for _, template := range templates.All() {
		t.Run(template.Name, func(t *testing.T) {
			check := ready[template.Name]
			if check == nil {
				t.Fatalf("the template %s has no check", template.Name)
			}
			check(t)
		})
	}
	if restarts := strings.Trim(kubectl(t, "get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"), "0 "); restarts != "" {
		t.Errorf("restarts: %q", restarts)
	}
}
