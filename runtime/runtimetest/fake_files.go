package runtimetest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// fileTree is a file system: entries by clean relative path. The root, ".", always exists.
type fileTree map[string]fakeFile

type fakeFile struct {
	mode     fs.FileMode
	uid, gid int
	data     []byte
	link     string
	modTime  time.Time
}

func (t fileTree) size() int64 {
	var n int64
	for _, f := range t {
		n += int64(len(f.data))
	}
	return n
}

func clean(p string) string {
	p = strings.TrimPrefix(path.Clean("/"+p), "/")
	if p == "" {
		return "."
	}
	return p
}

func (t fileTree) get(p string) (fakeFile, bool) {
	p = clean(p)
	if p == "." {
		return fakeFile{mode: fs.ModeDir | 0o755}, true
	}
	for range 8 { // enough for the links of the atomic writer's layout
		if f, ok := t[p]; ok && f.mode&fs.ModeSymlink == 0 {
			return f, true
		}
		next, changed := t.followLink(p)
		if !changed {
			return fakeFile{}, false
		}
		p = next
	}
	return fakeFile{}, false
}

// followLink replaces the first symbolic link on the way to p.
func (t fileTree) followLink(p string) (string, bool) {
	parts := strings.Split(p, "/")
	for i := range parts {
		prefix := strings.Join(parts[:i+1], "/")
		if f, ok := t[prefix]; ok && f.mode&fs.ModeSymlink != 0 {
			return clean(path.Join(path.Dir(prefix), f.link, strings.Join(parts[i+1:], "/"))), true
		}
	}
	return p, false
}

func (t fileTree) put(p string, f fakeFile) {
	p = clean(p)
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if _, ok := t[dir]; !ok {
			t[dir] = fakeFile{mode: fs.ModeDir | 0o755}
		}
	}
	if p != "." {
		t[p] = f
	}
}

func (t fileTree) remove(p string) {
	p = clean(p)
	for name := range t {
		if name == p || strings.HasPrefix(name, p+"/") {
			delete(t, name)
		}
	}
}

// unpack puts a tar's entries below dir.
func (t fileTree) unpack(dir string, r io.Reader, keepOwner bool) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			return err
		}
		f := fakeFile{mode: h.FileInfo().Mode(), data: data, link: h.Linkname, modTime: h.ModTime}
		if keepOwner {
			f.uid, f.gid = h.Uid, h.Gid
		}
		target := path.Join(clean(dir), h.Name)
		if base, dirName := path.Base(h.Name), path.Dir(target); strings.HasPrefix(base, ".wh.") {
			t.remove(path.Join(dirName, strings.TrimPrefix(base, ".wh.")))
			continue
		}
		t.put(target, f)
	}
}

// pack makes a tar of p whose names start with p's last element, as engines do.
func (t fileTree) pack(p string) []byte {
	p = clean(p)
	base := path.Base(p)
	if p == "." {
		base = "."
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	names := make([]string, 0, len(t))
	for name := range t {
		if name == p || p == "." || strings.HasPrefix(name, p+"/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		f := t[name]
		rel := strings.TrimPrefix(strings.TrimPrefix(name, p), "/")
		h := &tar.Header{Name: path.Join(base, rel), Mode: int64(f.mode.Perm()), Uid: f.uid, Gid: f.gid, ModTime: f.modTime, Size: int64(len(f.data))}
		switch {
		case f.mode.IsDir():
			h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		case f.mode&fs.ModeSymlink != 0:
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, f.link, 0
		}
		// Writing to a buffer can fail only for a header that could not have been read either.
		if w.WriteHeader(h) == nil && h.Size > 0 {
			_, _ = w.Write(f.data)
		}
	}
	_ = w.Close()
	return out.Bytes()
}
