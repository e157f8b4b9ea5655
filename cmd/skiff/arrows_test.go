package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "skiff.local/skiff/"

// arrow forbids packages to import others, with the reason that the failure prints.
type arrow struct {
	from   []string // directories; "" is all
	except []string // directories below from that may
	to     []string // import paths, or prefixes ending in /
	why    string
	tests  bool // holds for test files too
}

var arrows = []arrow{
	{
		from: []string{""}, except: []string{"runtime/docker"}, to: []string{"github.com/docker/docker/"}, tests: true,
		why: "only runtime/docker knows the Docker SDK: its types and errors become ours there, so that a fake and another SDK stay possible",
	},
	{
		from: []string{"runtime"}, to: []string{module + "local/", module + "watch", module + "cmd/"},
		why: "the node knows nothing of the control plane that drives it",
	},
	{
		from: []string{"local"}, to: []string{module + "cmd/"},
		why: "the cluster does not know how it is called",
	},
	{
		from: []string{"watch"}, to: []string{module + "local/", module + "runtime/", module + "cmd/"},
		why: "the loop reaches the cluster through the Kubernetes API alone, so that it works against any cluster",
	},
	{
		from: []string{""}, except: []string{"cmd/skiffd"}, to: []string{module + "local/daemon"},
		why: "one place puts the daemon together and one program runs it; the verbs reach it through local/client",
	},
	{
		from: []string{""}, except: []string{"cmd"}, to: []string{"github.com/spf13/cobra", "github.com/fatih/color", "k8s.io/kubectl/"},
		why: "flags, colours and kubectl are the command line's",
	},
	{
		from: []string{"local/network/httpproxy"}, to: []string{"k8s.io/", "sigs.k8s.io/"},
		why: "the proxy serves what is compiled for it and knows nothing of the objects, so that those of several APIs can share a port",
	},
	{
		from: []string{"local/network/httpproxy/routing"}, to: []string{module + "local/network/httpproxy", module + "local/network/listen"},
		why: "where a request goes is decided from the request alone: whatever opens connections comes after it",
	},
	{
		from: []string{"local/network/gateway/plan", "local/network/gateway/rules"},
		to:   []string{"k8s.io/client-go/", module + "local/network/httpproxy/forward", module + "local/network/httpproxy/upstream"},
		why:  "what of the Gateway API is served is decided from the objects; asking for them, writing them and serving come before and after",
	},
	{
		from: []string{"cmd/skiff-node"}, to: []string{"k8s.io/", module + "runtime/docker", module + "runtime/pod", module + "watch"},
		why: "the helper is embedded twice and runs in every pod: it stays a few megabytes",
	},
}

func TestArrowsPointDown(t *testing.T) {
	for _, file := range goFiles(t) {
		syntax, err := parser.ParseFile(token.NewFileSet(), file.path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range syntax.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			for _, a := range arrows {
				if file.test && !a.tests || !within(file.dir, a.from) || len(a.except) > 0 && within(file.dir, a.except) {
					continue
				}
				if matches(imported, a.to) {
					t.Errorf("%s/%s imports %s: %s", file.dir, filepath.Base(file.path), imported, a.why)
				}
			}
		}
	}
}

// Whatever a package of the verbs imports is initialised and paged in by every `skiff get`, so this arrow holds for all
// dependencies: with the control plane linked, the verb took 1.3 to 1.4 times as long as kubectl, without it as long.
func TestTheVerbsDoNotCarryTheControlPlane(t *testing.T) {
	for _, dep := range linked(t, "cmd/skiff", "cmd/cli") {
		if matches(dep, []string{
			"k8s.io/kubernetes/", "k8s.io/apiserver/", "k8s.io/kube-aggregator/",
			module + "local/daemon", module + "local/apiserver", module + "local/controllers", module + "local/store", module + "runtime/pod",
		}) {
			t.Errorf("skiff links %s: it belongs to skiffd alone (go list -deps ./cmd/skiff; go mod why -m says through what)", dep)
		}
	}
}

// A pause container is a process of the helper: with net/http and TLS in it, it was a quarter bigger.
func TestTheHelperCarriesNoHTTP(t *testing.T) {
	for _, dep := range linked(t, "cmd/skiff-node", "cmd/skiff-node/agent") {
		if matches(dep, []string{"net/http", "crypto/tls"}) {
			t.Errorf("skiff-node links %s (go list -deps ./cmd/skiff-node says through what)", dep)
		}
	}
}

// linked are the packages of a program on Linux; one that it certainly has shows that there is something to look at.
func linked(t *testing.T, program, certain string) []string {
	t.Helper()
	list := exec.Command("go", "list", "-deps", module+program)
	list.Env = append(list.Environ(), "GOOS=linux")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list -deps: %v", err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, module+certain) {
		t.Fatalf("go list -deps does not list %s among %d packages", certain, len(deps))
	}
	return deps
}

// Libraries report through errors and events: a print or an exit in one of them can be neither tested nor redirected.
func TestNothingBelowCmdPrintsOrExits(t *testing.T) {
	forbidden := map[string]bool{"fmt.Print": true, "fmt.Println": true, "fmt.Printf": true, "os.Exit": true, "log.Fatal": true, "log.Fatalf": true, "log.Println": true, "log.Printf": true}
	for _, file := range goFiles(t) {
		if file.test || within(file.dir, []string{"cmd", "examples", "templates"}) {
			continue
		}
		set := token.NewFileSet()
		syntax, err := parser.ParseFile(set, file.path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if syntax.Name.Name == "main" {
			continue // a generator
		}
		ast.Inspect(syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				if pkg, ok := sel.X.(*ast.Ident); ok && forbidden[pkg.Name+"."+sel.Sel.Name] {
					t.Errorf("%s: %s.%s", set.Position(call.Pos()), pkg.Name, sel.Sel.Name)
				}
			}
			return true
		})
	}
}

type goFile struct {
	path string
	dir  string // slash-separated, from the root of the repository
	test bool
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var files []goFile
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); name != root && (strings.HasPrefix(base, ".") || base == "bin" || base == "dist" || base == "testdata" || base == "internal_deps") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(name))
		files = append(files, goFile{path: name, dir: filepath.ToSlash(dir), test: strings.HasSuffix(name, "_test.go")})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("found only %d Go files below %s", len(files), root)
	}
	return files
}

func within(dir string, parents []string) bool {
	for _, p := range parents {
		if p == "" || dir == p || strings.HasPrefix(dir, p+"/") {
			return true
		}
	}
	return false
}

func matches(imported string, to []string) bool {
	for _, t := range to {
		if imported == path.Clean(t) || strings.HasPrefix(imported, strings.TrimSuffix(t, "/")+"/") {
			return true
		}
	}
	return false
}
