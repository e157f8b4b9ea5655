package image

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"skiff.local/skiff/runtime/docker"
)

// Reference is a parsed image name.
type Reference struct {
	Registry   string // "docker.io", "localhost:5000"
	Repository string // the whole of it, "docker.io/library/nginx"
	Tag        string // "latest" when the name has neither tag nor digest
	Digest     string // "sha256:…" or empty
	named      reference.Named
}

// Parse reads an image name the way Docker and kubelet do.
func Parse(name string) (Reference, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return Reference{}, fmt.Errorf("couldn't parse image name %q: %w", name, err)
	}
	named = reference.TagNameOnly(named)
	ref := Reference{Registry: reference.Domain(named), Repository: named.Name(), named: named}
	if t, ok := named.(reference.Tagged); ok {
		ref.Tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		ref.Digest = d.Digest().String()
	}
	return ref, nil
}

// String is the name in full, for the engine.
func (r Reference) String() string { return r.named.String() }

// Familiar is the name as people write it: without the default registry.
func (r Reference) Familiar() string { return reference.FamiliarString(r.named) }

// maxSuggestions keeps messages readable.
const maxSuggestions = 3

// Suggest names the local images that somebody who wrote ref probably meant: other tags of the same repository first,
// then repositories of nearly the same name, newest first. The helper that skiff itself carries is nothing to run.
func Suggest(ref Reference, local []docker.ImageInfo) []string {
	type candidate struct {
		name     string
		distance int
		age      int64 // negative creation time, so that newest sorts first
	}
	split := func(repository string) (dir, base string) {
		i := strings.LastIndexByte(repository, '/') + 1
		return repository[:i], repository[i:]
	}
	wantDir, wantBase := split(ref.Repository)
	var found []candidate
	for _, img := range local {
		for _, tag := range img.Tags {
			other, err := Parse(tag)
			if err != nil || other.String() == ref.String() || other.Repository == NodeRepository {
				continue
			}
			// Another tag is nearest; each wrong letter counts, and so does another place.
			dir, base := split(other.Repository)
			d := editDistance(base, wantBase)
			if d > len(wantBase)/3 {
				continue
			}
			if dir != wantDir {
				d++
			}
			found = append(found, candidate{other.Familiar(), d, -img.Created.Unix()})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.age, b.age), cmp.Compare(a.name, b.name))
	})
	var names []string
	for _, c := range found {
		if len(names) < maxSuggestions && !slices.Contains(names, c.name) {
			names = append(names, c.name)
		}
	}
	return names
}

// editDistance is Levenshtein's, over bytes: image names are ASCII.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitution := diagonal
			if a[i] != b[j] {
				substitution++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitution, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// StatusID is what a container's status reports as the image's id: the repository's digest when the image came from a
// registry, the local id otherwise.
func StatusID(info *docker.ImageInfo, name string) string {
	ref, err := Parse(name)
	if err == nil {
		for _, digest := range info.Digests {
			if other, err := Parse(digest); err == nil && other.Repository == ref.Repository {
				return digest
			}
		}
	}
	if len(info.Digests) > 0 {
		return info.Digests[0]
	}
	return info.ID
}
