// Command typecheck checks the types of programs and of everything below them, the standard library included, for another
// platform. It finds what a cross-compile finds short of the linker, in a tenth of the time: a cold build of Kubernetes'
// packages takes minutes a platform, and most of that goes into code that nobody runs.
//
// usage: go run ./.ci/typecheck GOOS/GOARCH PACKAGE...
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: typecheck GOOS/GOARCH PACKAGE...")
		os.Exit(2)
	}
	goos, goarch, _ := strings.Cut(os.Args[1], "/")
	n, err := check(goos, goarch, os.Args[2:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "typecheck %s/%s: %v\n", goos, goarch, err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "%d packages are well typed for %s/%s\n", n, goos, goarch)
}

// listed is a package as `go list -json` prints it.
type listed struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string // for packages that the standard library vendors
	Error           *struct{ Err string }
}

// check takes packages in the order in which go list -deps prints them: what a package imports comes first.
func check(goos, goarch string, patterns []string) (int, error) {
	list := exec.Command("go", append([]string{"list", "-e", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap,Error"}, patterns...)...)
	list.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	list.Stderr = os.Stderr
	out, err := list.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := list.Start(); err != nil {
		return 0, err
	}
	defer func() { _ = list.Wait() }()

	known := importer{"unsafe": types.Unsafe}
	sizes := types.SizesFor("gc", goarch)
	var problems []error
	for decoder := json.NewDecoder(out); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, fmt.Errorf("read go list: %w", err)
		}
		if p.Error != nil {
			problems = append(problems, errors.New(p.Error.Err))
		}
		if p.ImportPath == "unsafe" {
			continue
		}
		checked, found := p.check(known, sizes)
		known[p.ImportPath] = checked
		problems = append(problems, found...)
	}
	if len(known) < 2 {
		problems = append(problems, fmt.Errorf("go list knows no package %v", patterns))
	}
	return len(known), errors.Join(problems...)
}

func (p *listed) check(known importer, sizes types.Sizes) (checked *types.Package, problems []error) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		files = append(files, file)
	}
	config := types.Config{
		Sizes: sizes, Importer: mapped{known, p.ImportMap},
		Error: func(err error) { problems = append(problems, err) },
	}
	checked, _ = config.Check(p.ImportPath, fset, files, nil)
	return checked, problems
}

// importer holds the packages that were checked.
type importer map[string]*types.Package

// mapped is the importer of a package some of whose imports lie elsewhere than they are called.
type mapped struct {
	importer
	renamed map[string]string
}

func (m mapped) Import(path string) (*types.Package, error) {
	if real, ok := m.renamed[path]; ok {
		path = real
	}
	if p := m.importer[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("package %s was not listed", path)
}
